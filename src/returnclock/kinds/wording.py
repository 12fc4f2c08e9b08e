"""Words that the kinds carry: how each is told, and phrases that the notices of several share; a shop's own may use them too.

Every phrase holds for a row that says nothing: a missing or unknown word gives neutral wording, never a guess.
Pure; imports nothing of ours.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """How `explain` tells of a kind's deadline: beginnings of sentences, each true whenever it is said.

    runs: while the time lasts, to be followed by "until Friday". came: that what was to come has come, whoever did it.
    missed: that it had not, to be followed by "by Friday". over: that it is not waited for any more, although it did not come.
    """

    runs: str
    came: str
    missed: str
    over: str

    @classmethod
    def awaiting(cls, what: str) -> Words:
        """Of a kind that has none of its own; ``what`` as within a sentence: "the seller's answer"."""
        begun = what[:1].upper() + what[1:]
        return cls(f"{begun} is awaited", f"{begun} came", f"{begun} had not come", f"{begun} is no longer awaited")


_WISHES = {
    "return_goods": "would like to return the goods and get the money back",
    "refund_only": "would like a refund without sending anything back",
    "exchange_goods": "would like to exchange the goods",
}
_WISH = "has opened a dispute"

_CARD = "The money goes back to the card you paid with. Once it has been sent, banks take 2 to 5 days to show it."
_BANK_TRANSFER = "The money goes to your bank account. Once it has been sent, a transfer takes 1 to 3 business days to arrive."
_WALLET = (
    "The money goes back to the online account you paid with, such as PayPal. Once it has been sent, it usually shows "
    "there within a day."
)
_CREDIT = "The amount goes back to your gift card or store credit, and you can use it as soon as it shows there."
_CASH = (
    "You paid in cash on delivery, so the money is paid out to a bank account. If you have not told us which one yet, "
    "please add it to the order."
)
_NEUTRAL = "The money goes back the way that was agreed with you."

_FREE_RETURN = "The return is free: you get a label for the way back that is already paid."
_PAID_RETURN = "You choose the carrier and pay for the way back yourself."

RIGHTS_REMAIN = (
    "Your legal rights are not affected. If something turns out to be faulty or not as described, your legal warranty "
    "still holds, and you can write to the seller or to us at any time."
)

_METHODS = {
    **dict.fromkeys(("card", "credit_card", "debit_card", "credit", "debit", "visa", "mastercard", "amex"), _CARD),
    **dict.fromkeys(("bank_transfer", "bank", "transfer", "wire", "wire_transfer", "sepa", "ach", "ideal"), _BANK_TRANSFER),
    **dict.fromkeys(("paypal", "wallet", "e_wallet", "ewallet", "apple_pay", "google_pay", "alipay", "wechat_pay"), _WALLET),
    **dict.fromkeys(("gift_card", "giftcard", "store_credit", "credit_note", "voucher", "balance"), _CREDIT),
    **dict.fromkeys(("cash_on_delivery", "cod", "cash"), _CASH),
}


def wish(dispute_kind: str | None) -> str:
    """What a buyer asks for, to follow "the buyer": "would like to exchange the goods"."""
    return _WISHES.get(dispute_kind or "", _WISH)


def way_back(method: str | None) -> str:
    """How a refund reaches the buyer, in whole sentences, by ``refunds.method`` however it is spelt."""
    word = "_".join((method or "").lower().replace("-", " ").replace("_", " ").split())
    return _METHODS.get(word, _NEUTRAL)


def return_cost(free_return: bool | None) -> str:
    """Who pays for sending the goods back, in a sentence, by ``orders.free_return``."""
    if free_return is None:
        return "The page of your order says who pays for the way back."
    return _FREE_RETURN if free_return else _PAID_RETURN
