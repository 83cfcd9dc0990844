#!/usr/bin/env python3
"""Writes crates/routing/src/numbering_plan/data.rs and crates/routing/tests/numbers.txt from libphonenumber's metadata.

    python3 -m venv /tmp/numbers && /tmp/numbers/bin/pip install phonenumbers
    /tmp/numbers/bin/python crates/routing/tests/numbers.py

data.rs is what the gateway reads numbers by; numbers.txt holds numbers that libphonenumber itself makes and reads, which
crates/routing/tests/numbers.rs puts to the gateway. The two are computed in different ways: the tables from the metadata's
patterns, the numbers by the library's own functions.
"""

import random
import re._parser as sre
import sys
from re._constants import BRANCH, IN, LITERAL, MAX_REPEAT, RANGE, CATEGORY, SUBPATTERN

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE as CODES
from phonenumbers import PhoneMetadata, PhoneNumberFormat, PhoneNumberType

LONGEST = 17
KINDS = ("fixed_line mobile toll_free premium_rate shared_cost personal_number voip pager uan voicemail").split()
MORE = 8  # numbers of each region beside its examples


class Language:
    """The digit strings of a pattern, as an automaton whose states are sets of places in the pattern."""

    def __init__(self, pattern):
        self.edges, self.free = [], []
        start, self.end = self.state(), self.state()
        self.part(sre.parse(pattern), start, self.end)
        self.memo, self.steps = {}, {}
        self.start = self.closure({start})

    def state(self):
        self.edges.append([])
        self.free.append([])
        return len(self.edges) - 1

    def part(self, items, at, to):
        for index, (kind, value) in enumerate(items):
            then = to if index == len(items) - 1 else self.state()
            self.item(kind, value, at, then)
            at = then
        if not len(items):
            self.free[at].append(to)

    def item(self, kind, value, at, to):
        if kind is LITERAL:
            self.edges[at].append((frozenset({value - 48}), to))
        elif kind is IN:
            digits = set()
            for what, given in value:
                if what is LITERAL:
                    digits.add(given - 48)
                elif what is RANGE:
                    digits.update(range(given[0] - 48, given[1] - 47))
                elif what is CATEGORY:
                    digits.update(range(10))
                else:
                    raise ValueError(what)
            self.edges[at].append((frozenset(digits), to))
        elif kind is BRANCH:
            for way in value[1]:
                self.part(way, at, to)
        elif kind is SUBPATTERN:
            self.part(value[3], at, to)
        elif kind is MAX_REPEAT:
            least, most, inner = value
            for turn in range(min(int(most), LONGEST)):
                if turn >= least:
                    self.free[at].append(to)
                then = self.state()
                self.part(inner, at, then)
                at = then
            self.free[at].append(to)
        else:
            raise ValueError(kind)

    def closure(self, states):
        seen, todo = set(states), list(states)
        while todo:
            for free in self.free[todo.pop()]:
                if free not in seen:
                    seen.add(free)
                    todo.append(free)
        return frozenset(seen)

    def step(self, states, digit):
        key = states, digit
        if key not in self.steps:
            reached = {to for state in states for digits, to in self.edges[state] if digit in digits}
            self.steps[key] = self.closure(reached)
        return self.steps[key]

    def after(self, digits):
        states = self.start
        for digit in digits:
            states = self.step(states, int(digit))
        return states

    def lengths(self, states):
        """Bit n: n more digits can end it."""
        if states not in self.memo:
            more = 0
            for digit in range(10):
                after = self.step(states, digit)
                more |= self.lengths(after) << 1 if after else 0
            self.memo[states] = more | (self.end in states)
        return self.memo[states]

    def any_of(self, length, start, rng):
        """A string of that length beginning with those digits, at random."""
        digits, states = start, self.after(start)
        while len(digits) < length:
            left = length - len(digits)
            ways = [d for d in range(10) if self.lengths(self.step(states, d)) >> (left - 1) & 1]
            if not ways:
                return None
            digit = rng.choice(ways)
            digits, states = digits + str(digit), self.step(states, digit)
        return digits if self.end in states else None


def kinds(metadata):
    for kind in KINDS:
        described = getattr(metadata, kind)
        if described is not None and described.national_number_pattern:
            # a pattern counts only for the lengths that go with it
            yield described.national_number_pattern, described.possible_length or metadata.general_desc.possible_length


class Plan:
    def __init__(self, metadata):
        self.metadata, self.id = metadata, metadata.id
        self.languages = [(Language(pattern), lengths) for pattern, lengths in kinds(metadata)]
        self.claim = Language(
            f"(?:{metadata.leading_digits})[0-9]{{0,17}}"
            if metadata.leading_digits
            else "|".join(f"(?:{pattern})" for pattern, _ in kinds(metadata)) or "[0-9]{0}"
        )

    def lengths(self):
        found = set()
        for kind in ["general_desc"] + KINDS:
            described = getattr(self.metadata, kind)
            found.update(length for length in (described.possible_length if described else ()) if length > 0)
        return sorted(found)

    def starts(self):
        """Length -> ranges of the first three digits that numbers of that length in use have."""
        found = {}
        for language, lengths in self.languages:
            for length in lengths:
                for start in range(1000 if length > 2 else 0):
                    if language.lengths(language.after(f"{start:03}")) >> (length - 3) & 1:
                        found.setdefault(length, set()).add(start)
        ranges = {}
        for length, starts in found.items():
            firsts = sorted(start for start in starts if start - 1 not in starts)
            lasts = sorted(start for start in starts if start + 1 not in starts)
            ranges[length] = list(zip(firsts, lasts))
        return ranges

    def trunks(self):
        """What may stand before a national number at home; all of it when it is a handful of literal prefixes."""
        prefix, parsing = self.metadata.national_prefix or "", self.metadata.national_prefix_for_parsing
        found = {prefix}
        if parsing and not self.metadata.national_prefix_transform_rule:
            language, todo = Language(parsing.replace("$", "")), [""]
            all_of = set()
            while todo and len(all_of) <= 8:
                digits = todo.pop()
                states = language.after(digits)
                if language.end in states:
                    all_of.add(digits)
                todo += [digits + str(d) for d in range(10) if language.step(states, d)]
            if len(all_of) <= 8:
                found |= all_of
        # longer ones choose a carrier or hide the caller, and are nothing that is written down
        return sorted((trunk for trunk in found if 1 <= len(trunk) <= 2), key=lambda trunk: (-len(trunk), trunk))


def owners(plans, main):
    """Beginnings of numbers of a shared code that belong to other regions than its main one."""
    known = {}

    def walk(states, depth):
        if states in known:
            return known[states]
        alive = [p.id for p, s in zip(plans, states) if s and p.claim.lengths(s)]
        ends = next((p.id for p, s in zip(plans, states) if p.claim.end in s), None)
        if not alive:
            verdict = None
        elif len(alive) == 1:
            verdict = alive[0]
        elif depth == 15:
            verdict = ends
        else:
            nexts = [
                walk(tuple(p.claim.step(s, d) for p, s in zip(plans, states)), depth + 1) for d in range(10)
            ]
            answers = []
            for answer in nexts:
                if answer is not None and answer not in answers:
                    answers.append(answer)
            if not answers:
                verdict = ends
            elif len(answers) == 1 and isinstance(answers[0], str) and ends in (None, answers[0]):
                verdict = answers[0]
            else:
                verdict = tuple(nexts)
        known[states] = verdict
        return verdict

    def collect(verdict, prefix):
        if isinstance(verdict, tuple):
            for digit, inner in enumerate(verdict):
                yield from collect(inner, prefix + str(digit))
        elif verdict not in (None, main):
            yield prefix, verdict

    return list(collect(walk(tuple(p.claim.start for p in plans), 0), ""))


def world():
    plans, codes = {}, {}
    for code, regions in sorted(CODES.items()):
        if regions == ("001",):
            codes[str(code)] = ("", [])
            continue
        here = [plans.setdefault(r, Plan(PhoneMetadata.metadata_for_region(r))) for r in regions]
        codes[str(code)] = (regions[0], owners(here, regions[0]) if len(here) > 1 else [])
    return plans, codes


def tables(plans, codes):
    text = (
        f"//! Generated by `crates/routing/tests/numbers.py` from libphonenumber's metadata {phonenumbers.__version__};"
        " not to be edited.\n\nuse super::{Code, Region};\n\n/// Regions by id.\n"
        "pub(super) const REGIONS: &[Region] = &[\n"
    )
    for id, plan in sorted(plans.items()):
        lengths = sum(1 << length for length in plan.lengths())
        trunks = ", ".join(f'"{trunk}"' for trunk in plan.trunks())
        starts = "".join(
            f"\n        ({length}, &[" + ", ".join(f"({first}, {last})" for first, last in ranges) + "]),"
            for length, ranges in sorted(plan.starts().items())
        )
        text += (
            f'    Region {{ id: "{id}", code: "{plan.metadata.country_code}", trunks: &[{trunks}], '
            f"lengths: 0x{lengths:05x}, starts: &[{starts}\n    ] }},\n"
        )
    text += "];\n\n/// Calling codes in the order of their digits.\npub(super) const CODES: &[Code] = &[\n"
    for code, (main, prefixes) in sorted(codes.items()):
        text += f'    Code {{ digits: "{code}", main: "{main}", prefixes: &['
        for at, (prefix, region) in enumerate(prefixes):
            text += ("\n        " if at % 8 == 0 else " ") + f'("{prefix}", "{region}"),'
        text += "\n    ] },\n" if prefixes else "] },\n"
    return text + "];\n"


def at_home(number, region):
    """As written at home; - where the library itself reads that as another number."""
    text = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    try:
        return text if phonenumbers.parse(text, region) == number else "-"
    except phonenumbers.NumberParseException:
        return "-"


def numbers(plans):
    """Lines: region, kind, the region that the library finds, calling code, national number, trunk, as written at home."""
    lines, rng = [], random.Random(1)
    names = {value: name for name, value in vars(PhoneNumberType).items() if isinstance(value, int)}
    for id, plan in sorted(plans.items()):
        trunk, seen = plan.metadata.national_prefix or "-", set()

        def add(kind, number):
            national = phonenumbers.national_significant_number(number)
            found = phonenumbers.region_code_for_number(number)
            if national not in seen and found:
                seen.add(national)
                lines.append((id, kind, found, number.country_code, national, trunk, at_home(number, id)))

        for kind, name in sorted(names.items()):
            example = phonenumbers.example_number_for_type(id, kind) if kind != PhoneNumberType.UNKNOWN else None
            if example is not None:
                add(name, example)
        most = len(seen) + MORE
        for turn in range(4 * MORE):
            language, lengths = rng.choice(plan.languages)
            # every other one begins like its own calling code, where such numbers exist
            start = str(plan.metadata.country_code) if turn % 2 else ""
            national = language.any_of(rng.choice(lengths), start, rng)
            if national is None or len(seen) == most:
                continue
            number = phonenumbers.parse(f"+{plan.metadata.country_code}{national}")
            if phonenumbers.national_significant_number(number) == national:
                add("-", number)
    head = (
        f"# Numbers of every region, made by libphonenumber {phonenumbers.__version__} (PyPI phonenumbers, Apache-2.0):"
        " numbers.py next to this file.\n# region|kind, - for one made at random|region that owns it|calling code"
        "|national number|trunk prefix|as written at home\n"
    )
    return head + "".join("|".join(map(str, line)) + "\n" for line in lines)


if __name__ == "__main__":
    plans, codes = world()
    with open("crates/routing/src/numbering_plan/data.rs", "w") as file:
        file.write(tables(plans, codes))
    with open("crates/routing/tests/numbers.txt", "w") as file:
        file.write(numbers(plans))
    print(phonenumbers.__version__, len(plans), "regions", file=sys.stderr)
