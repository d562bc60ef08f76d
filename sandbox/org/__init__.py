"""A Salesforce org in memory, for the demo, for tests and for people.

`Org` is the object model, used in process; `OrgServer` serves one over HTTP.
"""

from sandbox.org.http.server import OrgServer
from sandbox.org.org import Org
from sandbox.org.trouble import Fault

__all__ = ["Fault", "Org", "OrgServer"]
