"""A Flask application whose views read and change sessions, synchronously.

It runs by itself on a store in memory. With workers and threads of gunicorn, on a file that all workers share:

    NDB_URI=sqlite:///sessions.db gunicorn --preload --workers 2 --threads 8 examples.flask_app:app

The client is made at import, before gunicorn forks its workers. Each worker opens it at its first request.
"""

import os
from datetime import timedelta

from flask import Flask, Response, abort, jsonify, request

from ndb_models import Expiry, SessionModel, UnavailableError
from ndb_models.sync import SyncClient, SyncRepository

COOKIE = "session"

app = Flask(__name__)
client = SyncClient(os.environ.get("NDB_URI", "memory://"))


class ShopSession(SessionModel, expiry=Expiry(idle=timedelta(minutes=30), absolute=timedelta(days=7))):
    """The session of a customer."""

    username: str
    cart: dict[str, int] = {}


sessions = SyncRepository(client, ShopSession)


def current() -> ShopSession:
    """Return the session that the request's cookie opens, or answer 401."""
    session = sessions.authenticate(request.cookies.get(COOKIE))
    return session if session is not None else abort(401)


@app.post("/login/<username>")
def login(username: str) -> Response:
    """Create a session, and give the browser its credential. A shop would check a password first."""
    session = sessions.create(ShopSession(username=username))
    response = jsonify(username=session.username)
    # In production: "__Host-session", and secure=True.
    response.set_cookie(COOKIE, str(sessions.issue(session)), httponly=True, samesite="Lax")
    return response


@app.post("/cart/<item>")
def add(item: str) -> Response:
    """Put an item into the cart. Requests at the same time are merged, so that no item is lost."""
    with sessions.edit(current().tkn) as session:
        session.cart[item] = session.cart.get(item, 0) + 1
    return jsonify(session.cart)


@app.get("/cart")
def show() -> Response:
    """Return the cart."""
    return jsonify(current().cart)


@app.post("/logout")
def logout() -> Response:
    """End the session."""
    sessions.delete(current().tkn)
    response = jsonify(goodbye=True)
    response.delete_cookie(COOKIE)
    return response


@app.errorhandler(UnavailableError)
def unavailable(_: UnavailableError) -> tuple[str, int, dict[str, str]]:
    """Answer 503 while the store is unavailable."""
    return "try again soon", 503, {"Retry-After": "1"}


def main() -> None:
    """Go through a visit, with Flask's own test client."""
    with app.test_client() as browser:
        print("before the login:", browser.get("/cart").status)
        browser.post("/login/billy")
        browser.post("/cart/apple")
        browser.post("/cart/apple")
        browser.post("/cart/pear")
        print("in the cart:", browser.get("/cart").json)
        browser.post("/logout")
        print("after the logout:", browser.get("/cart").status)
    client.close()


if __name__ == "__main__":
    main()
