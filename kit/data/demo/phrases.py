"""Random phrases that can be written in every language: dates, times, numbers, amounts, measures and names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import partial
from random import Random
from typing import Literal

from babel import Locale
from babel.dates import format_date, format_datetime, format_interval, format_skeleton, format_time, format_timedelta
from babel.lists import format_list
from babel.numbers import format_currency, format_decimal, format_percent
from babel.units import format_unit

_FIRST_DAY, _DAYS = date(1950, 1, 1), 36_524  # one century: years with two digits are unambiguous
_Unit = Literal["second", "minute", "hour", "day", "week", "month"]
_SECONDS: dict[_Unit, int] = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86_400,
    "week": 604_800,
    "month": 2_592_000,
}
_CURRENCIES = "CAD CHF CNY EUR GBP INR MXN PLN SEK USD".split()  # noqa: SIM905
_UNITS = """
    area-square-kilometer area-square-meter digital-gigabyte digital-megabyte duration-day duration-hour
    duration-minute duration-month duration-second duration-week duration-year energy-kilocalorie energy-kilowatt-hour
    length-centimeter length-foot length-inch length-kilometer length-meter length-mile length-millimeter mass-gram
    mass-kilogram mass-ounce mass-pound power-kilowatt power-watt speed-kilometer-per-hour speed-mile-per-hour
    temperature-celsius temperature-fahrenheit volume-gallon volume-liter volume-milliliter
""".split()  # noqa: SIM905
_TWO_UNITS = (("duration-hour", "duration-minute"), ("length-foot", "length-inch"), ("mass-pound", "mass-ounce"))
_TERRITORIES = """
    AR AT AU BE BR CA CH CL CN CZ DE DK EG ES FI FR GB GR HU IE IN IT JP KE KR MX NG NL NO NZ PL PT RO SE TR UA US VN ZA
""".split()  # noqa: SIM905
_LANGUAGES = """
    ar bg bn ca cs da de el en es et fa fi fr he hi hr hu id is it ja ko lt lv nl nb pl pt ro ru sk sv th tr uk vi zh
""".split()  # noqa: SIM905

_CURRENCY_FORMS: tuple[Literal["standard", "name"], ...] = ("standard", "name")
_LISTS: tuple[Literal["standard", "or"], ...] = ("standard", "or")

Write = Callable[[Locale], str]
Content = tuple[tuple[object, ...], Write]  # of a phrase: see the attributes of Phrase


@dataclass(frozen=True)
class Phrase:
    """A phrase that can be written in every language.

    Attributes:
        kind: Kind of phrase, such as `date`.
        values: Dates, times, numbers or lists that the phrase is about.
        write: Function that writes the phrase in a language.
    """

    kind: str
    values: tuple[object, ...]
    write: Write


def phrases(locales: Sequence[Locale]) -> Iterator[Phrase]:
    """Yield phrases without end, in the same order for the same languages.

    Args:
        locales: Languages that every phrase can be written in.
    """
    random = Random(0)
    kinds = [kind for kind in _KINDS if kind != "words" or all(map(_has_number_words, locales))]
    while True:
        kind = random.choice(kinds)
        yield Phrase(kind, *_KINDS[kind](random))


def _date(random: Random) -> Content:
    day, form = _day(random), random.choice(("full", "long", "medium", "short", "yMMMEd"))
    if form == "yMMMEd":
        return (day,), lambda locale: format_skeleton(form, day, locale=locale)
    return (day,), lambda locale: format_date(day, form, locale)


def _month(random: Random) -> Content:
    day = _day(random).replace(day=1)
    return (day,), lambda locale: format_skeleton("yMMMM", day, locale=locale)


def _quarter(random: Random) -> Content:
    day = _day(random)
    first = day.replace(month=day.month - (day.month - 1) % 3, day=1)
    return (first,), lambda locale: format_skeleton("yQQQQ", first, locale=locale)


def _time(random: Random) -> Content:
    clock = _clock(random)
    return (clock,), lambda locale: format_time(clock, "medium" if clock.second else "short", locale=locale)


def _moment(random: Random) -> Content:
    day, clock, form = _day(random), _clock(random), random.choice(("medium", "short"))
    moment = datetime.combine(day, clock)
    return (day,), lambda locale: format_datetime(moment, form, locale=locale)


def _period(random: Random) -> Content:
    first = _day(random)
    last = first + timedelta(days=random.randint(1, 60))
    return (first, last), lambda locale: format_interval(first, last, "yMMMd", locale=locale)


def _relative(random: Random) -> Content:
    unit, count = random.choice(list(_SECONDS)), random.choice((-1, 1)) * random.randint(1, 99)
    delta = timedelta(seconds=count * _SECONDS[unit])
    return ((unit, count),), lambda locale: format_timedelta(
        delta, granularity=unit, threshold=1e9, add_direction=True, locale=locale
    )


def _number(random: Random) -> Content:
    number = _price(random)
    return (number,), lambda locale: format_decimal(number, locale=locale)


def _percent(random: Random) -> Content:
    number = float(random.randint(1, 999))
    return (number,), lambda locale: format_percent(number / 100, locale=locale)


def _words(random: Random) -> Content:
    number = float(random.randint(1, 9999))
    return (number,), partial(_number_words, int(number))


def _amount(random: Random) -> Content:
    number, currency = _price(random), random.choice(_CURRENCIES)
    form = random.choice(_CURRENCY_FORMS)
    return (number,), lambda locale: format_currency(number, currency, locale=locale, format_type=form)


def _measure(random: Random) -> Content:
    number, unit = _price(random), random.choice(_UNITS)
    return (number,), lambda locale: format_unit(number, unit, locale=locale)


def _two_measures(random: Random) -> Content:
    units, numbers = random.choice(_TWO_UNITS), (random.randint(1, 99), random.randint(1, 59))
    return (numbers,), lambda locale: format_list(
        [format_unit(number, unit, locale=locale) for number, unit in zip(numbers, units, strict=True)],
        locale=locale,
    )


def _territories(random: Random) -> Content:
    codes, style = tuple(random.sample(_TERRITORIES, random.randint(2, 3))), random.choice(_LISTS)
    return (codes,), lambda locale: format_list([locale.territories[code] for code in codes], style, locale)


def _languages(random: Random) -> Content:
    codes, style = tuple(random.sample(_LANGUAGES, random.randint(2, 3))), random.choice(_LISTS)
    return (codes,), lambda locale: format_list([locale.languages[code] for code in codes], style, locale)


_KINDS: dict[str, Callable[[Random], Content]] = {
    "date": _date,
    "month": _month,
    "quarter": _quarter,
    "time": _time,
    "moment": _moment,
    "period": _period,
    "relative": _relative,
    "number": _number,
    "percent": _percent,
    "words": _words,
    "amount": _amount,
    "measure": _measure,
    "two measures": _two_measures,
    "territories": _territories,
    "languages": _languages,
}


def _day(random: Random) -> date:
    return _FIRST_DAY + timedelta(days=random.randrange(_DAYS))


def _clock(random: Random) -> time:
    return time(random.randrange(24), random.randrange(60), random.choice((0, random.randrange(60))))


def _price(random: Random) -> float:
    """Return a number as in prices: up to four digits, half of the numbers with decimals."""
    whole = random.randrange(10 ** random.randint(1, 4))
    return float(random.choice((whole, whole + random.randint(1, 99) / 100)))


def _has_number_words(locale: Locale) -> bool:
    from num2words import CONVERTER_CLASSES

    return locale.language in CONVERTER_CLASSES


def _number_words(number: int, locale: Locale) -> str:
    from num2words import CONVERTER_CLASSES, num2words

    variant = str(locale)  # pt_BR differs from pt
    return str(num2words(number, lang=variant if variant in CONVERTER_CLASSES else locale.language))
