"""A fruit shop: what an application with typed sessions looks like. FastAPI, and pages rendered on the server.

    make shop                          # http://localhost:8000/ with the sessions in shop.db

or, with its packages installed (`pip install 'ndb_models[starlette]' fastapi jinja2 python-multipart uvicorn`):

    SHOP_DEVELOPMENT=1 uvicorn --app-dir examples shop.app:app
    NDB_URI=ws://127.0.0.1:1987/ uvicorn --app-dir examples --workers 2 shop.app:app    # behind a proxy with TLS

Log in as `billy` (password `apple`), or as `ada` (password `lemon`), who is staff and can switch flags.

| to see how                                                     | look at                             |
| -------------------------------------------------------------- | ----------------------------------- |
| a visitor gets a session at the first item, and not before     | `add`                               |
| the visitor's cart outlives the login, and the old cookie dies | `log_in`                            |
| "remember me" gives a longer session and a cookie that stays   | `log_in`, `sessions`, `ShopSession` |
| two tabs fill one cart, and no item is lost                    | `ShopSession.cart`                  |
| users see their devices and log them out                       | `account`, `log_out_device`         |
| staff confirm their password before they change anything       | `admin`, `confirm_password`         |
| forms carry a token against forgery                            | `templates/forms.html`              |
| a page learns that its session has ended                       | `live`, `static/live.js`            |
| flags are switched while the shop runs                         | `switch_flags`, `live`              |

It works without JavaScript, but for the line at the foot of the page that says what happens in the shop.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Form, Request, Response, WebSocket
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from ndb_models import ConfigRepository, Expiry, UnavailableError
from ndb_models.web import LoginTooOldError, NotLoggedInError, WebSessions

from .catalogue import FRUIT, check_password
from .devices import device_of
from .models import Flags, ShopSession

HERE = Path(__file__).parent
# No address but our own, no inline script or style, and no frame around it.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

sessions = WebSessions(
    os.environ.get("NDB_URI", "sqlite:///shop.db"),
    ShopSession,
    short=Expiry(idle=timedelta(minutes=30), absolute=timedelta(hours=12)),
    renew_every=timedelta(hours=1),
    csrf="token",
    development="SHOP_DEVELOPMENT" in os.environ,
)
stored_flags = ConfigRepository(sessions.client, Flags, namespace="shop")
templates = Jinja2Templates(HERE / "templates")

app = FastAPI(title="Windfall", middleware=[sessions.middleware], openapi_url=None)
app.mount("/static", StaticFiles(directory=HERE / "static"))

# Anyone with a cart or without; and a user who has logged in.
Visitor = Annotated[ShopSession | None, Depends(sessions.optional)]
Customer = Annotated[ShopSession, Depends(sessions.logged_in)]
CurrentFlags = Annotated[Flags, Depends(stored_flags.load)]
# A page of ours to go on to; no other site's.
Target = Annotated[str, Field(pattern="^/[a-z]*$")]
Page = Callable[..., HTMLResponse]


def staff(session: Customer) -> None:
    """Let the staff through."""
    if session.role != "staff":
        raise HTTPException(403, "This page is for the staff.")


def see(path: str) -> RedirectResponse:
    """Send the browser on to a page, after a form."""
    return RedirectResponse(path, 303)


STAFF = [Depends(staff), Depends(sessions.require_fresh(minutes=10))]


async def page(request: Request, session: Visitor, flags: CurrentFlags) -> Page:
    """Return what renders a page: `page("cart.html", total=3)`."""
    shared = {"session": session, "flags": flags, "fruit": FRUIT, "csrf_token": await sessions.csrf_token(request)}
    if session is not None:
        shared["notice"], session.notice = session.notice, ""

    def render(template: str, status: int = 200, **more: Any) -> HTMLResponse:
        return templates.TemplateResponse(request, template, shared | more, status, HEADERS)

    return render


Rendered = Annotated[Page, Depends(page)]


@app.get("/")
async def home(page: Rendered) -> HTMLResponse:
    """Show the fruit."""
    return page("home.html")


@app.get("/cart")
async def cart(page: Rendered, session: Visitor, flags: CurrentFlags) -> HTMLResponse:
    """Show the cart."""
    items = session.cart.items() if session else ()
    return page("cart.html", total=sum(count * flags.price(fruit) for fruit, count in items))


@app.post("/cart/{fruit}")
async def add(
    request: Request,
    fruit: str,
    session: Visitor,
    change: Annotated[int, Form(ge=-1, le=1)] = 1,
    back: Annotated[Literal["/", "/cart"], Form()] = "/cart",
) -> RedirectResponse:
    """Put one more of a fruit into the cart, or take one out. The first one starts the visitor's session."""
    if fruit not in FRUIT:
        raise HTTPException(404, "We do not sell that.")
    if session is None:
        session = await sessions.login(request, ShopSession())
    session.cart[fruit] += change
    if session.cart[fruit] <= 0:
        del session.cart[fruit]
    return see(f"{back}#{fruit}")


class Order(BaseModel):
    """The form below the cart."""

    message: str = Field(default="", max_length=200)
    wrapped: bool = False


@app.post("/order")
async def order(session: Customer, form: Annotated[Order, Form()]) -> RedirectResponse:
    """Take the order, and empty the cart."""
    wrapped = ", wrapped as a gift" if form.wrapped else ""
    session.notice = f"Thank you, {session.user}. {session.cart.total()} things are on their way{wrapped}."
    session.cart.clear()
    return see("/cart")


class Login(BaseModel):
    """The form of the login."""

    username: str = Field(max_length=40)
    password: str = Field(max_length=200)
    remember: bool = False
    to: Target = "/"


@app.get("/login")
async def login_form(page: Rendered, to: Target = "/") -> HTMLResponse:
    """Show the form of the login."""
    return page("login.html", to=to)


@app.post("/login")
async def log_in(request: Request, page: Rendered, session: Visitor, form: Annotated[Login, Form()]) -> Response:
    """Log in. A visitor keeps the cart, under a new cookie; another user's session is left behind."""
    account = check_password(form.username, form.password)
    if account is None:
        return page("login.html", 422, problem="This name and password do not match.", **form.model_dump())
    if session is None or session.user not in (None, form.username):
        session = ShopSession()
    session.user, session.role = form.username, account.role
    session.device = device_of(request.headers.get("User-Agent", ""))
    session.notice = f"Welcome, {session.user}."
    await sessions.login(request, session, remember=form.remember)
    return see(form.to)


@app.get("/confirm")
async def confirm_form(page: Rendered, _: Customer, to: Target = "/") -> HTMLResponse:
    """Ask for the password once more."""
    return page("confirm.html", to=to)


@app.post("/confirm")
async def confirm_password(
    request: Request,
    page: Rendered,
    session: Customer,
    password: Annotated[str, Form(max_length=200)],
    to: Annotated[Target, Form()] = "/",
) -> Response:
    """Count as a new login, if the password is right."""
    if check_password(str(session.user), password) is None:
        return page("confirm.html", 422, problem="That is not your password.", to=to)
    await sessions.login(request, session)
    return see(to)


@app.post("/logout")
async def log_out(request: Request) -> RedirectResponse:
    """Log out on this device."""
    await sessions.logout(request)
    return see("/")


@app.get("/account")
async def account(request: Request, page: Rendered, _: Customer) -> HTMLResponse:
    """Show the devices on which this user is logged in."""
    return page("account.html", devices=await sessions.devices(request))


@app.post("/account/devices/{public_id}/logout")
async def log_out_device(request: Request, session: Customer, public_id: str) -> RedirectResponse:
    """Log out one device of this user."""
    done = await sessions.revoke(request, public_id)
    session.notice = "That device is logged out." if done else "That device was logged out already."
    return see("/account")


@app.post("/account/logout-others")
async def log_out_others(request: Request, session: Customer) -> RedirectResponse:
    """Log out all devices of this user but this one."""
    session.notice = f"Other devices logged out: {await sessions.logout_others(request)}."
    return see("/account")


@app.post("/account/logout-everywhere")
async def log_out_everywhere(request: Request, _: Customer) -> RedirectResponse:
    """Log out all devices of this user."""
    await sessions.logout_everywhere(request)
    return see("/")


@app.get("/admin", dependencies=STAFF)
async def admin(page: Rendered) -> HTMLResponse:
    """Show the flags."""
    return page("admin.html")


@app.post("/admin", dependencies=STAFF)
async def switch_flags(session: Customer, form: Annotated[Flags, Form()]) -> RedirectResponse:
    """Switch the flags, for all workers and all pages that are open."""
    await stored_flags.update(**form.model_dump())
    session.notice = "The flags are switched."
    return see("/admin")


@app.websocket("/live")
async def live(websocket: WebSocket) -> None:
    """Say what happens in the shop, for as long as the session lives. Its end closes this with 4401."""
    await websocket.accept()
    async with sessions.bound(websocket) as session:
        await websocket.send_json({"say": f"You are logged in as {session.user}."})
        async for change in stored_flags.watch():
            await websocket.send_json({"say": news(change.new), "announcement": change.new.announcement})


def news(flags: Flags) -> str:
    """Return what the staff have changed, in a sentence."""
    sale = f"{flags.sale_percent} % off everything" if flags.sale_percent else "No sale today"
    return f"{sale}{', and we wrap gifts' if flags.gift_wrapping else ''}."


@app.exception_handler(NotLoggedInError)
def to_login(request: Request, _: Exception) -> RedirectResponse:
    """Show the form of the login, and come back."""
    return see(f"/login?to={request.url.path if request.method == 'GET' else '/'}")


@app.exception_handler(LoginTooOldError)
def to_confirmation(request: Request, _: Exception) -> RedirectResponse:
    """Ask for the password, and come back."""
    return see(f"/confirm?to={request.url.path}")


@app.exception_handler(HTTPException)
def problem(request: Request, error: HTTPException) -> HTMLResponse:
    """Show what went wrong."""
    shown = {"status": error.status_code, "text": error.detail}
    return templates.TemplateResponse(request, "problem.html", shown, error.status_code, HEADERS)


@app.exception_handler(UnavailableError)
def closed(request: Request, _: Exception) -> HTMLResponse:
    """Say that the store is away. Nobody is logged out."""
    shown = {"status": 503, "text": "We are back in a moment. Your cart is safe."}
    return templates.TemplateResponse(request, "problem.html", shown, 503, HEADERS | {"Retry-After": "5"})
