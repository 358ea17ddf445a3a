"""What the shop remembers: a session for each browser, and flags for all."""

from collections import Counter
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, Field

from ndb_models import Expiry, Lookup, SessionModel
from ndb_models.web import Principal

from .catalogue import FRUIT, Role


class ShopSession(SessionModel, expiry=Expiry(idle=timedelta(days=30), absolute=timedelta(days=365)), track=60):
    """A browser's session, before and after the login. This expiry is for those who ask to be remembered."""

    user: Annotated[str | None, Principal(), Lookup()] = None
    role: Annotated[Role, Principal()] = "customer"
    device: str = ""
    cart: Counter[str] = Counter()
    """How many of each fruit. Two tabs may add at once: counts are added up."""
    notice: str = ""
    """What the next page says, once."""


class Flags(BaseModel):
    """What the staff can switch while the shop runs."""

    announcement: str = Field(default="", max_length=80)
    sale_percent: int = Field(default=0, ge=0, le=50)
    gift_wrapping: bool = False

    def price(self, fruit: str) -> int:
        """Return what a fruit costs now, in cents."""
        return round(FRUIT[fruit].price * (100 - self.sale_percent) / 100)
