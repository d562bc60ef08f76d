"""The Flask application: OAuth, the control API, and pages for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask

from sandbox.org.http import control, pages
from sandbox.org.oauth import login

if TYPE_CHECKING:
    from sandbox.org.http.server import OrgServer
    from sandbox.org.org import Org


def make_app(org: Org, server: OrgServer | None = None) -> Flask:
    """All routes but those of the REST API."""
    app = Flask("sandbox.org.http", template_folder="templates", static_folder=None)
    app.register_blueprint(login.blueprint(org))
    app.register_blueprint(control.blueprint(org, server))
    app.register_blueprint(pages.blueprint(org))
    return app
