"""The Flask application: OAuth, the control API, and pages for people."""

from __future__ import annotations

import secrets

from flask import Flask, jsonify, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.wrappers import Response

from sandbox.org.http import control, login, pages
from sandbox.org.http.outages import Outages
from sandbox.org.org import Org


def make_app(org: Org, server: Outages) -> Flask:
    """All routes but those of the REST API."""
    app = Flask("sandbox.org.http", template_folder="templates", static_folder=None)
    app.secret_key = secrets.token_bytes(32)
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    app.register_blueprint(login.blueprint(org))
    app.register_blueprint(control.blueprint(org, server))
    app.register_blueprint(pages.blueprint(org, server))
    app.register_error_handler(NotFound, _no_such_path)
    app.register_error_handler(MethodNotAllowed, _no_such_path)
    return app


def _no_such_path(error: HTTPException) -> Response:
    """JSON below the control API, else a page: a person may have mistyped an address."""
    status = error.code or 404
    text = "There is no page at this address."
    if isinstance(error, MethodNotAllowed):
        text = f"This address does not take {request.method}."
    if request.path.startswith("/_sandbox"):
        response: Response = jsonify(error=text.replace("page", "path"))
        response.status_code = status
    else:
        response = pages.message_page(status=status, title="Page not found", text=text)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response
