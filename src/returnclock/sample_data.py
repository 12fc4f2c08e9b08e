"""The people, shops and goods of a marketplace that does not exist, for ``sample`` and ``demo``.

Every address ends in ``.example``, which RFC 2606 keeps free for this: no notice to them can reach anybody.
Pure; imports nothing of ours.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from random import Random

# Letters that Unicode does not take apart into a Latin letter and its mark.
_PLAIN = str.maketrans({"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "ß": "ss", "ı": "i", "æ": "ae", "đ": "d"})


@dataclass(frozen=True)
class Region:
    """Where people of the market live: a country or a part of it, its zone and language, and names that are usual there.

    A name in another script than Latin is followed by its Latin form: "Ελένη/Eleni".
    """

    country: str
    subdivision: str | None
    time_zone: str
    locale: str
    currency: str
    shops: tuple[str, ...]
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]


REGIONS = (
    Region("DE", "BY", "Europe/Berlin", "de", "EUR",
          ("Bäckers Küchenladen", "Käthe & Söhne", "Münchner Fahrradhaus", "Strickstube Vögele", "Kerzen Grün"),
          ("Jürgen", "Anneliese", "Günther", "Käthe", "Özlem"), ("Müller", "Weiß", "Schröder", "Brückner")),
    Region("FR", None, "Europe/Paris", "fr", "EUR",
          ("Maison Lefèvre", "L'Atelier d'Élodie", "Vélos Chaînon"),
          ("Zoé", "François", "Hélène", "Anaïs"), ("Lefèvre", "Garçon", "Benoît", "Dubois")),
    Region("PT", None, "Europe/Lisbon", "pt", "EUR",
          ("Cerâmica São João", "Livraria Açucena", "Casa das Lãs"),
          ("João", "Inês", "Conceição", "Tomás"), ("Magalhães", "Gonçalves", "Simões", "Araújo")),
    Region("PL", None, "Europe/Warsaw", "pl", "PLN",
          ("Dom Światła", "Rowery Łukasza", "Księgarnia Żuraw"),
          ("Łukasz", "Zofia", "Małgorzata", "Jędrzej"), ("Wiśniewska", "Kamiński", "Dąbrowska", "Wójcik")),
    Region("SE", None, "Europe/Stockholm", "sv", "SEK",
          ("Åsas Garn", "Nordöns Lampor"),
          ("Åsa", "Björn", "Märta"), ("Sjöberg", "Nyström", "Åkesson")),
    Region("GR", None, "Europe/Athens", "el", "EUR",
          ("Το Εργαστήρι/To Ergastiri", "Βιβλία Αθηνά/Vivlia Athina"),
          ("Ελένη/Eleni", "Γιώργος/Giorgos", "Μαρία/Maria"), ("Παπαδοπούλου/Papadopoulou", "Νικολάου/Nikolaou")),
    Region("TR", None, "Europe/Istanbul", "tr", "TRY",
          ("Çınar Mutfak", "Işık Elektronik"),
          ("Gülşen", "Çağrı", "Yiğit"), ("Yıldız", "Öztürk", "Şahin")),
    Region("US", "NY", "America/New_York", "en-US", "USD",
          ("Hudson Hi-Fi", "Brooklyn Bean Roasters", "Five Boroughs Books", "Ramírez Sneakers"),
          ("Siobhán", "Darnell", "Renée", "José", "Grace"), ("O'Connor", "Washington", "Núñez", "Kowalski")),
    Region("US", "CA", "America/Los_Angeles", "en-US", "USD",
          ("Pacific Board Co.", "Mesa Succulents", "Golden Gate Cameras"),
          ("Chloë", "Tyler", "Esmé", "Mateo"), ("Nguyễn", "Johnson", "Peña", "Takahashi")),
    Region("BR", "SP", "America/Sao_Paulo", "pt-BR", "BRL",
          ("Café do Antônio", "Rede & Praia", "Sons do Sertão"),
          ("Antônio", "Luíza", "Vitória", "Estêvão"), ("Conceição", "Assunção", "Brandão", "Falcão")),
    Region("MX", None, "America/Mexico_City", "es-MX", "MXN",
          ("Artesanías Ñandú", "Hilos de Oaxaca"),
          ("Xóchitl", "Ramón", "Lucía"), ("Muñoz", "Hernández", "Gutiérrez")),
    Region("JP", None, "Asia/Tokyo", "ja", "JPY",
          ("山田陶器店/Yamada Toki", "青空文具/Aozora Bungu", "木の匠/Ki no Takumi"),
          ("美咲/Misaki", "健太/Kenta", "陽子/Yoko"), ("佐藤/Sato", "鈴木/Suzuki", "高橋/Takahashi")),
    Region("IN", "MH", "Asia/Kolkata", "en-IN", "INR",
          ("Chai & Chintz", "हस्तकला घर/Hastakala Ghar"),
          ("अनन्या/Ananya", "Rohan", "Priyanka"), ("Deshmukh", "Kulkarni", "Iyer")),
    Region("AU", "NSW", "Australia/Sydney", "en-AU", "AUD",
          ("Wattle & Wool", "Harbour Surfboards", "Larrikin Leather"),
          ("Niamh", "Bruce", "Zoë"), ("Nolan", "Papadakis", "Brontë")),
)  # fmt: skip

GOODS = (
    ("kitchen", 24, 180), ("books", 8, 45), ("bicycles", 60, 900), ("electronics", 19, 640), ("clothing", 15, 160),
    ("furniture", 80, 1200), ("toys", 9, 90), ("garden", 12, 210), ("music", 25, 480),
)  # fmt: skip
METHODS = ("card", "bank_transfer", "paypal", "gift_card", "klarna")
# What a unit of the currency is worth beside an amount in euros, roughly: so that nobody is refunded 40 yen.
UNITS_PER_EURO = {"JPY": 160, "INR": 90, "MXN": 20, "TRY": 40, "SEK": 11, "BRL": 6, "PLN": 4}
REASONS = {
    "return_goods": ("It is too small.", "The colour is not the one in the picture.", "Je l'ai commandé deux fois."),
    "refund_only": (
        "The parcel arrived open, and half of it was missing.",
        "Der Henkel war abgebrochen.",
        "届きませんでした。",
    ),
    "exchange_goods": ("Size 42 was sent instead of 40.", "It makes a rattling noise.", "Veio o modelo errado."),
}


def shops() -> list[dict[str, str | None]]:
    """The sellers, as rows without ids."""
    return [
        _party(region, _both_forms(shop)[0], f"hello@{_slug(_both_forms(shop)[1])}.example")
        for region in REGIONS
        for shop in region.shops
    ]


def people(random: Random, count: int) -> list[dict[str, str | None]]:
    """That many buyers from all over the market, as rows without ids; no two have one name."""
    everybody = [(region, first, last) for region in REGIONS for first in region.first_names for last in region.last_names]
    return [_person(region, first, last) for region, first, last in random.sample(everybody, count)]


def amount(random: Random, category: str, currency: str) -> str:
    """A price in the currency, as decimal text with as many digits as people there write."""
    low, high = next((low, high) for name, low, high in GOODS if name == category)
    euros = random.uniform(low, high)
    return f"{euros * UNITS_PER_EURO.get(currency, 1):.{0 if currency == 'JPY' else 2}f}"


def currency_of(country: str) -> str:
    """What a country pays with."""
    return next(region.currency for region in REGIONS if region.country == country)


def _person(region: Region, first: str, last: str) -> dict[str, str | None]:
    (own_first, latin_first), (own_last, latin_last) = _both_forms(first), _both_forms(last)
    name = f"{own_last} {own_first}" if region.country == "JP" else f"{own_first} {own_last}"
    return _party(region, name, f"{_slug(latin_first)}.{_slug(latin_last)}@post.example")


def _party(region: Region, name: str, email: str) -> dict[str, str | None]:
    return {
        "name": name,
        "email": email,
        "locale": region.locale,
        "time_zone": region.time_zone,
        "country": region.country,
        "subdivision": region.subdivision,
    }


def _both_forms(written: str) -> tuple[str, str]:
    own, _, latin = written.partition("/")
    return own, latin or own


def _slug(latin: str) -> str:
    """ "Käthe & Söhne" as "kathe-sohne"."""
    apart = unicodedata.normalize("NFKD", latin.translate(_PLAIN))
    letters = (letter for letter in apart if not unicodedata.combining(letter))
    return "-".join("".join(letter if letter.isalnum() else " " for letter in letters).split()).lower()
