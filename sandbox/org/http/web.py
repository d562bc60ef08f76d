"""The Flask application: OAuth, the control API, and pages for people."""

from __future__ import annotations

from flask import Flask

from sandbox.org.http import control, login, pages
from sandbox.org.org import Org


def make_app(org: Org, outages: control.Outages) -> Flask:
    """All routes but those of the REST API."""
    app = Flask("sandbox.org.http", template_folder="templates", static_folder=None)
    app.register_blueprint(login.blueprint(org))
    app.register_blueprint(control.blueprint(org, outages))
    app.register_blueprint(pages.blueprint(org))
    return app
