"""Texts of our own for training and evaluation: attacks by tactic and language, and harmless texts with the same words.

`rows` yields (text, label, unit, surface, order). A unit is one author-template (for documents the tactic's template), the
thing that an evaluation must hold out whole; the order is the part of an attacked record that speaks to the model.
"""

import base64
import codecs
import random
import re

from . import documents, english, languages

SLOT = re.compile(r"\{([a-z]+)\}")
LEET = str.maketrans({"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7"})


def fill(rnd, text, slots, depth=0):
    """Fills the slots of a template; fillings may have slots themselves."""

    def one(match):
        name = match.group(1)
        if name not in slots:
            return match.group(0)
        picked = rnd.choice(slots[name])
        return fill(rnd, picked, slots, depth + 1) if depth < 4 else picked

    return " ".join(SLOT.sub(one, text.replace("{{", "\0").replace("}}", "\1")).split(" ")).replace("\0", "{").replace("\1", "}")


def tidy(rnd, text):
    text = re.sub(r" {2,}", " ", text).replace(" .", ".").replace(" ,", ",").strip()
    shape = rnd.random()
    if shape < 0.6:
        return text[:1].upper() + text[1:]
    return text.lower() if shape < 0.85 else text


def encoded(rnd, text):
    """Fills the slots of the encoded tactics with an order."""
    order = fill(rnd, rnd.choice(english.ATTACKS["override"][:8]), english.SLOTS)
    made = {
        "b64": base64.b64encode(order.encode()).decode(), "rev": order[::-1], "hex": order.encode().hex(), "rot": codecs.encode(order, "rot13"),
        "spaced": " ".join(order.replace(" ", "  ")), "leet": order.translate(LEET), "dots": ".".join(order.split()),
        "caps": "".join(c.upper() if i % 2 else c.lower() for i, c in enumerate(order)),
    }
    return SLOT.sub(lambda m: made.get(m.group(1), m.group(0)), text)


def prompts(rnd, each):
    for label, families in ((1, english.ATTACKS), (0, english.HARMLESS)):
        for family, templates in families.items():
            for template in templates:
                unit = f"{family}: {template[:40]}"
                for _ in range(each if "{" in template else 1):
                    text = encoded(rnd, template) if family == "encoded" else fill(rnd, template, english.SLOTS)
                    yield text if family in ("encoded", "fake") else tidy(rnd, text), label, unit, "prompt", None
    for language in languages.WORDS:
        for text, tactic in languages.attacks(rnd, language, each * 8):
            yield text, 1, f"{language}: {tactic}", "prompt", None
        for text in languages.harmless(rnd, language, each * 6):
            yield text, 0, f"{language}: fine", "prompt", None


def carrier(rnd, order):
    """A record with an order in it; harmless where the order is empty."""
    slots = dict(documents.SLOTS, note=documents.NOTES + documents.FILLER, x=["\2"])
    text = fill(rnd, rnd.choice(documents.CARRIERS), slots)
    return text.replace("\2", order)


def records(rnd, each, requests):
    for tactic, templates in documents.TACTICS.items():
        for template in templates:
            for _ in range(each):
                task = fill(rnd, rnd.choice(documents.TASKS), documents.SLOTS)
                if requests and rnd.random() < 0.35:
                    task = rnd.choice(requests)
                order = fill(rnd, template.replace("{task}", task.replace("{", "{{")).replace("{Task}", task[:1].upper() + task[1:]), documents.SLOTS).strip()
                text = order if rnd.random() < 0.15 else carrier(rnd, order)
                yield text, 1, f"{tactic}: {template[:40]}", "document", order
    for number, note in enumerate(documents.NOTES):
        for _ in range(each):
            filled = fill(rnd, note, documents.SLOTS)
            yield (filled if rnd.random() < 0.15 else carrier(rnd, filled if rnd.random() < 0.7 else "")), 0, f"note {number}", "document", None


def rows(requests=(), seed=7, each=16):
    """All texts, each once. `requests` are harmless things that users ask for; inside a record they are orders."""
    rnd = random.Random(seed)
    seen = set()
    for source in (prompts(rnd, each), records(rnd, each * 2, requests)):
        for row in source:
            if row[0] not in seen:
                seen.add(row[0])
                yield row
