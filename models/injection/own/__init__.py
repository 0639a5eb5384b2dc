"""Texts of our own for training and evaluation: attacks by tactic and language, and harmless texts with the same words.

`rows` yields (text, label, unit, surface, order). A unit is one author-template (for documents the tactic's template), the
thing that an evaluation must hold out whole; the order is the part of an attacked record that speaks to the model.
"""

import base64
import codecs
import json
import pathlib
import random
import re
import zlib

from . import asks, defences, documents, english, everyday, fresh, further, languages, noise, quoted, said, tasks, tongues, trades, wider, work

WRITTEN = pathlib.Path(__file__).parent / "written"
SLOT = re.compile(r"\{([A-Za-z]+[0-9]?)\}")
LOOKS = str.maketrans({"a": "а", "e": "е", "o": "ο", "i": "1", "s": "$", "t": "7", "c": "с", "p": "р", "l": "ι"})
LEET = str.maketrans({"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7"})


def fill(rnd, text, slots, depth=0):
    """Fills the slots of a template; fillings may have slots themselves. `{Verb}` is `{verb}` with a capital."""

    def one(match):
        name = match.group(1)
        if name not in slots and name.lower() not in slots:
            return match.group(0)
        picked = rnd.choice(slots.get(name) or slots[name.lower()])
        picked = fill(rnd, picked, slots, depth + 1) if depth < 8 else picked
        return picked if name in slots else picked[:1].upper() + picked[1:]

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


def disguised(rnd, text, family):
    """A command line now and then with letters that only look like themselves."""
    if family != "shell" or rnd.random() > 0.3:
        return text
    return "".join(letter.translate(LOOKS) if rnd.random() < 0.3 else letter for letter in text)


def prompts(rnd, each):
    for label, families in ((1, english.ATTACKS), (0, english.HARMLESS)):
        for family, templates in families.items():
            for template in templates:
                unit = f"{family}: {template[:40]}"
                for _ in range(each if "{" in template else 1):
                    text = encoded(rnd, template) if family == "encoded" else fill(rnd, template, english.SLOTS)
                    yield text if family in ("encoded", "fake") else tidy(rnd, text), label, unit, "prompt", None
    slots = dict(english.SLOTS, **wider.SLOTS)
    newer = dict(slots, **fresh.SLOTS)
    for label, families, name, slots in ((1, wider.ATTACKS, "wider", slots), (0, wider.HARMLESS, "wider", slots), (1, fresh.PROMPTS, "fresh", newer), (0, fresh.HARMLESS, "fresh", newer)):
        for family, templates in families.items():
            for template in templates:
                for _ in range(each if "{" in template else 1):
                    yield disguised(rnd, tidy(rnd, fill(rnd, template, slots)), family), label, f"{name} {family}: {template[:40]}", "prompt", None
    for label, asked in ((1, wider.ASKED), (0, wider.FINE)):
        for language, texts in asked.items():
            yield from ((text, label, f"asked {language}", "prompt", None) for text in texts)
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


def around(rnd, middle, code):
    """An answer from a forum with something in the middle, at the end or in front."""
    parts = [rnd.choice(wider.ANSWERS), f"```\n{rnd.choice(code)}\n```"] + rnd.sample(wider.ANSWERS, rnd.randrange(2))
    parts.insert(rnd.randrange(len(parts) + 1), middle)
    return rnd.choice(["\n", "\n\n"]).join(parts)


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
    for template in wider.SNIPPETS:
        for _ in range(each * 2):
            order = template.replace("{code}", rnd.choice(wider.EVIL))
            yield around(rnd, order, wider.GOOD), 1, f"snippet: {template[:40]}", "document", order
    for stray in wider.STRAY:
        for _ in range(each // 2):
            yield carrier(rnd, stray), 1, f"stray: {stray[:40]}", "document", stray
    for answer in wider.ANSWERS:
        for _ in range(each):
            yield around(rnd, answer, wider.GOOD), 0, f"answer: {answer[:40]}", "document", None
    for number, note in enumerate(documents.NOTES):
        for _ in range(each):
            filled = fill(rnd, note, documents.SLOTS)
            yield (filled if rnd.random() < 0.15 else carrier(rnd, filled if rnd.random() < 0.7 else "")), 0, f"note {number}", "document", None


def working(rnd, each):
    """Harmless records of every day, and those that quote orders or are made by machines."""
    for room, slots in ((work, work.SLOTS), (quoted, quoted.SLOTS)):
        for family, templates in room.RECORDS.items():
            for number, template in enumerate(templates):
                for _ in range(each):
                    yield fill(rnd, template, slots), 0, f"work {family} {number}", "document", None
    for number, template in enumerate(quoted.LINES["line"]):
        for _ in range(each):
            yield fill(rnd, template, quoted.SLOTS), 0, f"work line {number}", "document", None
    for language, texts in work.ABROAD.items():
        for text in texts:
            for _ in range(each // 8):
                filled = fill(rnd, text, work.SLOTS)
                yield (filled if rnd.random() < 0.4 else f"{filled} {fill(rnd, rnd.choice(texts), work.SLOTS)}"), 0, f"work {language}", "document", None


def everyday_prompts(rnd, each):
    """What users send on any day, and orders in the same surroundings."""
    slots = dict(english.SLOTS, **everyday.SLOTS)
    for label, families in ((0, everyday.HARMLESS), (1, everyday.ATTACKS)):
        for family, templates in families.items():
            times = everyday.TIMES.get(family, 1) if label == 0 or family in everyday.KEPT else 1
            for template in templates:
                for _ in range(each * times):
                    text = fill(rnd, template, slots)
                    yield text.strip() if family in everyday.KEPT else tidy(rnd, text), label, f"everyday {family}: {template[:40]}", "prompt", None
    for line in said.LINES:
        plain = line.lower().rstrip(".!?")
        yield from ((text, 0, f"everyday said: {line[:40]}", "prompt", None) for text in (line, plain, f"{rnd.choice(everyday.SLOTS['yes1'])}, {plain}"))
    for line in said.CODE:
        for around in rnd.sample(said.AROUND, 3):
            yield around.replace("{line}", line), 0, f"everyday line: {line[:40]}", "prompt", None
    for language, texts in everyday.ABROAD.items():
        pairs = [" ".join(rnd.sample(texts, 2)) for _ in range(each)]
        yield from ((text, 0, f"everyday {language}", "prompt", None) for text in texts + pairs)
        if language in languages.WORDS:
            for text, tactic in languages.attacks(rnd, language, each):
                yield f"{rnd.choice(texts)} {text}", 1, f"{language}: {tactic}", "prompt", None


def given(rnd, each):
    """Tasks with what they are about, setups of agents, and harmless talk in the words of attacks."""
    for family, template, times in tasks.SHAPES:
        for _ in range(each * times):
            # The task is the unit: with what is pasted below it, it stays in one part.
            head = rnd.choice(tasks.SLOTS[family]) if f"{{{family}}}" in template else template
            text = fill(rnd, template.replace(f"{{{family}}}", head), tasks.SLOTS).strip()
            yield tidy(rnd, text) if "\n" not in text else text, 0, f"given {family}: {head[:40]}", "prompt", None
    yield from ((text, 0, f"given abroad: {text[:20]}", "prompt", None) for text in tasks.ABROAD)
    # What people paste: letters, chats, tickets, minutes, pages and results, with a task before or after it or alone.
    for room, slots in ((work, work.SLOTS), (trades, trades.SLOTS)):
        for family, templates in room.RECORDS.items():
            for number, template in enumerate(templates):
                for _ in range(each):
                    yield under(rnd, fill(rnd, template, slots)), 0, f"given {family} {number}", "prompt", None


def under(rnd, text):
    task, way = fill(rnd, rnd.choice(tasks.SLOTS["task"]), tasks.SLOTS), rnd.random()
    return f"{task}\n\n{text}" if way < 0.5 else f"{text}\n\n{task}" if way < 0.65 else text


def more_attacks(rnd, each, others):
    """Games with a kept string, orders to tools, orders after a question; and attacks and harmless texts in disguise."""
    for family, template, times in further.SHAPES:
        for _ in range(each * times):
            head = rnd.choice(further.SLOTS[family]) if f"{{{family}}}" in template else template
            yield tidy(rnd, fill(rnd, template.replace(f"{{{family}}}", head), further.SLOTS)), 1, f"further {family}: {head[:40]}", "prompt", None
    # What stands before such an order is harmless by itself.
    for text in further.SLOTS["plainly"] + further.SLOTS["first"]:
        yield text, 0, f"further plainly: {text[:40]}", "prompt", None
        yield f"{text} {rnd.choice(further.SLOTS['first'])}", 0, f"further plainly: {text[:40]}", "prompt", None
    for text, label, unit, *_ in rnd.sample(others, len(others) // 6):
        if 8 < len(text) < 160:
            yield further.disguise(rnd, text, label), label, unit, "prompt", None


def part(unit):
    """Texts of our own are held out by sevenths, whole units at a time."""
    return zlib.crc32(unit.encode()) % 7


def guarded(rnd, each):
    """Setups that defend themselves, the same in handbooks, and attacks in their words. Sentences of one setup are of one seventh."""
    slots, by_part = dict(defences.SLOTS), {}
    for family, templates in defences.DEFENCES.items():
        for template in templates:
            by_part.setdefault(part(f"defence {template}"), []).append(template)
            for _ in range(each // 2):
                text = fill(rnd, template, slots)
                yield tidy(rnd, text), 0, f"defence {template}", "prompt", None
    for number, templates in sorted(by_part.items()):
        unit = next(f"defence {template}" for template in templates)
        for surface, shapes, times in (("prompt", defences.SETUPS, each * 2), ("document", defences.PAPERS, each)):
            for shape in shapes:
                for _ in range(times // 3):
                    while "{d}" in shape:
                        shape = shape.replace("{d}", rnd.choice(templates), 1)
                    yield fill(rnd, shape, slots).strip(), 0, unit if surface == "prompt" else f"work {unit}", surface, None
                    shape = rnd.choice(shapes)
    for language, texts in defences.ABROAD.items():
        yield from ((text, 0, f"defence {language}", "prompt", None) for text in texts)
        yield from ((rnd.choice((" ", "\n", "\n- ")).join(rnd.sample(texts, rnd.randrange(2, 4))), 0, f"defence {language}", "prompt", None) for _ in range(each))
        yield from ((" ".join(rnd.sample(texts, 2)), 0, f"work defence {language}", "document", None) for _ in range(each // 4))
    for family, templates in defences.ATTACKS.items():
        for template in templates:
            for _ in range(each * 2):
                yield tidy(rnd, fill(rnd, template, slots)), 1, f"defence {family} {template}", "prompt", None
    for language, texts in defences.ABROAD_ATTACKS.items():
        for text in texts:
            yield text, 1, f"defence {language} {text}", "prompt", None
            # A sentence that defends does not make what stands beside it harmless.
            yield from ((f"{rnd.choice(defences.ABROAD[language])} {text}", 1, f"defence {language} {text}", "prompt", None) for _ in range(each // 4))


def trade(rnd, each):
    """Orders by trade in records, handed to the model or bare, and harmless records of the same trades."""
    slots = dict(documents.SLOTS, **trades.SLOTS)
    handed = [template for templates in documents.TACTICS.values() for template in templates]
    for order in trades.ORDERS:
        for number in range(each * 2):
            template = rnd.choice(trades.BARE if number % 2 else handed)
            task = fill(rnd, order, slots)
            text = fill(rnd, template.replace("{task}", task.replace("{", "{{")).replace("{Task}", task[:1].upper() + task[1:]), slots).strip()
            whole = text if rnd.random() < 0.15 else carrier(rnd, text)
            yield whole, 1, f"trade {order[:40]}", "document", text
    for family, templates in trades.RECORDS.items():
        for number, template in enumerate(templates):
            for _ in range(each * 2):
                yield fill(rnd, template, trades.SLOTS), 0, f"work trade {family} {number}", "document", None
    for language, texts in trades.ABROAD.items():
        for _ in range(each):
            yield fill(rnd, " ".join(rnd.sample(texts, 2)), trades.SLOTS), 0, f"work trade {language}", "document", None


def noisy(rnd, each):
    """Keys, dumps and encoded values, and short posts: nobody orders anything there."""
    for name in noise.SHAPES:
        for number in range(each * 3):
            yield noise.blob(rnd, name), 0, f"noise {name}", "prompt", None
            if number % 3 == 0:
                yield noise.blob(rnd, name), 0, f"work noise {name}", "document", None
    for number, template in enumerate(noise.POSTS):
        for _ in range(each * 4):
            yield fill(rnd, template, noise.SLOTS).strip(), 0, f"noise post {number}", "prompt", None


def asking(rnd, each):
    """Wishes for papers of companies, and requirements; the same frames for what an agent was told are attacks."""
    for label, families in ((0, asks.HARMLESS), (1, asks.ATTACKS)):
        for family, templates in families.items():
            for template in templates:
                for _ in range(each * asks.TIMES[family]):
                    yield tidy(rnd, fill(rnd, template, asks.SLOTS)), label, f"asks {family}: {template[:40]}", "prompt", None
    for label, languages_of in ((0, asks.ABROAD), (1, asks.ABROAD_ATTACKS)):
        for language, texts in languages_of.items():
            for text in texts:
                yield text, label, f"asks {language}: {text[:20]}", "prompt", None
                yield text.lower().rstrip(".?"), label, f"asks {language}: {text[:20]}", "prompt", None


def tongue(rnd, each):
    """The common orders in some fifty languages, and harmless texts in each, which count as those of every day do."""
    for language, words in tongues.WORDS.items():
        slots = dict(tongues.SLOTS, do=words["do"], note=words["note"])
        for text in words["ask"] + words["fine"] + words["note"]:
            label = int(text in words["ask"])
            unit = f"{'' if label else 'work '}tongue {language}: {text[:30]}"
            for _ in range(2 if "{" in text else 1):
                filled = fill(rnd, text, slots)
                yield from ((form, label, unit, "prompt", None) for form in (filled, filled.lower().rstrip(".!?。।։۔")))
        for _ in range(each):
            yield fill(rnd, " ".join(rnd.sample(words["fine"] + words["note"], 2)), slots), 0, f"work tongue {language}: two", "prompt", None
        for text in words["order"]:
            for number in range(each // 2):
                order = fill(rnd, text, slots)
                before = fill(rnd, rnd.choice(words["fine"] + words["note"]), slots) + " " if number % 4 == 3 else ""
                yield before + order, 1, f"tongue {language}: {text[:30]}", "prompt", None


def borders(text):
    """Where a sentence or a line ends."""
    return [found.end() for found in re.finditer(r"(?<=[.!?。！？।؟])\s+|\n+", text)] + [len(text)]


def put(rnd, text, order):
    """A text with an order between two of its sentences, or behind it."""
    at = rnd.choice(borders(text))
    before, gap = text[:at].rstrip(" "), "\n" if at == len(text) or text[at - 1] == "\n" else " "
    return before + ("" if before.endswith("\n") else gap) + order + gap + text[at:]


def written(rnd):
    """Whole texts, each written by hand. An order also stands in others of its language, and a record also without its order.

    Texts that stand side by side in the file may be about one thing, so eight at a time are one unit.
    """
    texts = []
    for path in sorted(WRITTEN.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1]):
            text = json.loads(line)
            texts.append(dict(text, unit=f"written {path.stem} {number // 8}", surface="document" if text["kind"].startswith("tool_") else "prompt"))
    carriers = {}
    for text in texts:
        # Harmless records count in the first look what those of every day count.
        work = "work " if text["surface"] == "document" and text["label"] == 0 else ""
        yield text["text"], text["label"], work + text["unit"], text["surface"], text.get("order")
        if text["surface"] == "document" and text["label"] == 0:
            carriers.setdefault((text["lang"], part(text["unit"])), []).append(text["text"])
            carriers.setdefault((None, part(text["unit"])), []).append(text["text"])
    for text in texts:
        if "order" in text:
            bare = text["text"].replace(text["order"], "").strip()
            if len(bare) > 20:
                yield bare, 0, f"work {text['unit']}", "document", None
            own, any_of = ((carriers.get((language, part(text["unit"])))) for language in (text["lang"], None))
            for of in (any_of, own or any_of, own or any_of):
                yield put(rnd, rnd.choice(of), text["order"]), 1, text["unit"], "document", text["order"]


def rows(requests=(), seed=7, each=16, rooms=None):
    """All texts, each once. `requests` are harmless things that users ask for; inside a record they are orders."""
    seen, made = set(), []
    sources = (
        ("prompts", 0, lambda rnd: prompts(rnd, each)), ("records", 0, lambda rnd: records(rnd, each * 2, requests)), ("working", 1, lambda rnd: working(rnd, each * 2)), ("everyday", 2, lambda rnd: everyday_prompts(rnd, each)),
        ("noisy", 7, lambda rnd: noisy(rnd, each)), ("given", 3, lambda rnd: given(rnd, each)), ("guarded", 4, lambda rnd: guarded(rnd, each)), ("trade", 5, lambda rnd: trade(rnd, each)), ("more", 6, lambda rnd: more_attacks(rnd, each, [row for row in made if row[3] == "prompt"])), ("asking", 8, lambda rnd: asking(rnd, each)),
        ("tongue", 9, lambda rnd: tongue(rnd, each)), ("written", 10, written),
    )
    random_of = [random.Random(seed + number) for number in range(11)]
    for name, number, source in sources:
        for row in source(random_of[number]) if rooms is None or name in rooms else ():
            if row[0] not in seen:
                seen.add(row[0])
                made.append(row)
                yield row
