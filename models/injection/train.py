"""Trains the injection classifier and says what it is worth on sources that it has not seen.

    cargo build --release -p cardea-core --example guard
    cargo vendor /tmp/books
    python3 train.py DATA --engine target/release/examples/guard --books /tmp/books

DATA is the folder with `injection_prompts.jsonl` and `injection_documents.jsonl`. Needs numpy and scipy. The engine folds
and decodes the texts and says which structural rules fire (`guard clues`), so that the classifier learns what the rules
leave open. Writes `weights.bin`, `golden.jsonl` (texts with their scores, for the engine's test) and `figures.json`.

Rows under CC-BY-SA-4.0 are never trained on. Evaluation leaves groups of sources out: their texts are scored by a model
that saw none of them, and the line is the one that 1 % of the harmless texts, held out likewise, reach (ours are not
counted for it). Templates of our own and manuals are held out by sevenths.
"""

import argparse
import concurrent.futures
import json
import math
import pathlib
import struct
import subprocess
import zlib

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

import own
from features import BITS, prompt, record

SIZE = {"prompt": 1 << BITS, "document": 1 << (BITS - 1)}
# What a structural rule adds to the margin for each point of its confidence: `RULE_WEIGHT` in the engine.
RULE_WEIGHT = 2.0
SHORTEST_CHILD = 16
ALLOWED = ("MIT", "Apache-2.0", "CC0-1.0")

# Sources that share their harmless part with another are left out together: otherwise a model that has seen only the
# attacked copies of some records learns that the records are attacks.
TOGETHER = {"asb-composed": "tau-bench-retail", "cardea-synth-composed": "cardea-synth", "bipia-code": "bipia", "bipia-table": "bipia", "bipia-email": "bipia"}


class Rows:
    """All texts of one surface."""

    def __init__(self, rows):
        self.text, label, source, trained, self.order = zip(*rows)
        self.label, self.source, self.trained = np.array(label), np.array(source), np.array(trained)
        self.fold = np.array([TOGETHER.get(name, name) for name in source])

    def __len__(self):
        return len(self.text)


def manuals(folder):
    """Pieces of the manuals of the libraries that Cardea is built from (MIT or Apache-2.0): harmless, full of imperatives."""
    for path in sorted(folder.glob("*/*.md")):
        book, text = path.parent.name, path.read_text(encoding="utf-8", errors="replace")
        pieces = [piece.strip() for piece in text.split("\n\n") if piece.strip()]
        for at in range(0, len(pieces), 4):
            piece = "\n\n".join(pieces[at : at + 4])[:1500]
            if zlib.crc32(piece.encode()) % 8 == 0 and len(piece) > 60:
                yield piece, 0, f"manuals/{zlib.crc32(book.encode()) % 7}", True, None


def load(folder, books):
    made, seen = {"prompt": [], "document": []}, set()
    for surface in made:
        for line in open(folder / f"injection_{surface}s.jsonl", encoding="utf-8"):
            row = json.loads(line)
            key = " ".join(row["text"].lower().split())
            if key in seen:
                continue
            seen.add(key)
            made[surface].append((row["text"], int(row["label"]), row["source"], row["licence"].split(" ")[0] in ALLOWED, None))
    requests = [row[0] for row in made["prompt"] if row[2] in ("bfcl", "self-instruct", "fastchat-bench") and 20 < len(row[0]) < 160]
    for text, label, unit, surface, order in own.rows(requests):
        made[surface].append((text, label, f"own/{zlib.crc32(unit.encode()) % 7}", True, order))
    made["document"] += manuals(books)
    return {surface: Rows(rows) for surface, rows in made.items()}


def clues(engine, texts, untrusted):
    """What the engine reads of each text, and what its rules are worth together."""
    lines = "".join(json.dumps([text, untrusted]) + "\n" for text in texts)
    answer = subprocess.run([engine, "clues"], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    for line in answer.stdout.decode().split("\n")[:-1]:
        clue = json.loads(line)
        rules = {}
        for kind, sure in clue["rules"]:
            rules[kind] = max(rules.get(kind, 0.0), sure)
        views = [view for number, view in enumerate(clue["views"]) if number == 0 or len(view.encode()) >= SHORTEST_CHILD]
        yield views, sum(rules.values())


class Windows:
    """All windows of all texts as one sparse matrix."""

    def __init__(self, engine, texts, surface):
        index, sizes, owner, self.first, boost = [], [], [], [], []
        for number, (views, rules) in enumerate(clues(engine, texts, surface == "document")):
            self.first.append(len(sizes))
            boost.append(rules * RULE_WEIGHT)
            for view in views:
                for window in prompt(view) if surface == "prompt" else record(view):
                    index.append(window if surface == "prompt" else window >> 1)
                    sizes.append(len(window))
                    owner.append(number)
        self.first, self.owner, self.boost = np.array(self.first), np.array(owner), np.array(boost, np.float32)
        sizes = np.array(sizes)
        self.ends = np.append(self.first[1:], len(sizes))
        value = np.repeat((1 / np.sqrt(np.maximum(sizes, 1))).astype(np.float32), sizes)
        self.matrix = csr_matrix((value, np.concatenate(index), np.concatenate([[0], np.cumsum(sizes)])), shape=(len(sizes), SIZE[surface]))

    def margins(self, model):
        return self.matrix @ model[:-1].astype(np.float32) + np.float32(model[-1])

    def best(self, margins):
        """The number of each text's strongest window."""
        order = np.lexsort((margins, self.owner))
        return order[np.append(np.flatnonzero(np.diff(self.owner[order])), len(order) - 1)]

    def scores(self, model):
        """Each text's strongest window, with what the rules add."""
        margins = self.margins(model)
        return margins[self.best(margins)] + self.boost


def fit(windows, chosen, label, weight, start=None, rounds=50, prior=1 / 100_000):
    """Logistic regression with the rules' part given."""
    matrix = windows.matrix[chosen]
    turned = matrix.T.tocsr()
    owner = windows.owner[chosen]
    wanted, offset, share = label[owner], windows.boost[owner].astype(np.float64), weight[owner] / weight[owner].sum()

    def loss(model):
        margin = matrix @ model[:-1].astype(np.float32) + model[-1] + offset
        value = share @ (np.logaddexp(0, margin) - wanted * margin) + prior / 2 * (model[:-1] @ model[:-1])
        slope = share * (1 / (1 + np.exp(-np.clip(margin, -30, 30))) - wanted)
        return float(value), np.append(turned @ slope.astype(np.float32) + prior * model[:-1], slope.sum())

    start = np.zeros(matrix.shape[1] + 1) if start is None else start
    return minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": rounds}).x


def family(source):
    return source.split("/")[0] if source.startswith(("own/", "manuals/")) else source


def weigh(rows, use):
    """Each source counts by its size to the power 0.6; both labels count the same."""
    weight = np.zeros(len(rows))
    name = np.array([family(source) for source in rows.source])
    for source in set(name[use]):
        for which in (0, 1):
            members = np.flatnonzero(use & (name == source) & (rows.label == which))
            if len(members):
                weight[members] = len(members) ** 0.6 / len(members) * (2.0 if source == "own" else 1.0)
    for which in (0, 1):
        mask = use & (rows.label == which)
        weight[mask] /= weight[mask].sum()
    return weight


def train(rows, windows, use, surface):
    """First on whole texts (records: on all windows of harmless ones), then on each attack's strongest window."""
    weight, label = weigh(rows, use), rows.label.astype(np.float64)
    if surface == "prompt":
        chosen = windows.first[use]
        model = fit(windows, chosen, label, weight, rounds=40)
        best = windows.best(windows.margins(model))
        return fit(windows, np.concatenate([chosen, best[use]]), label, weight, model)
    # What the orders look like is known for our own records; of others every window is a guess at first.
    harmless = np.flatnonzero((use & (rows.label == 0))[windows.owner])
    count = windows.ends - windows.first
    weight[rows.label == 0] /= np.maximum(count[rows.label == 0], 1)
    model = fit(windows, np.concatenate([harmless, windows.sure[(use & (rows.label == 1))[windows.owner[windows.sure]]]]), label, weight, rounds=30)
    for _ in range(2):
        best = windows.best(windows.margins(model))
        model = fit(windows, np.concatenate([harmless, best[use]]), label, weight, model, rounds=30)
    return model


def sure_windows(windows, rows):
    """The windows of attacks that are made of nothing but the order, and of attacks whose order is not known."""
    sure = []
    for number in np.flatnonzero(rows.label == 1):
        windows_of = np.arange(windows.first[number], windows.ends[number])
        alone = rows.order[number] is not None and rows.text[number] == rows.order[number]
        if alone or (rows.order[number] is None and len(windows_of) <= 6):
            sure.append(windows_of)
    return np.concatenate(sure)


def quantise(model):
    weights = model[:-1]
    scale = float(np.quantile(np.abs(weights[weights != 0]), 0.9995)) / 127
    whole = np.clip(np.round(weights / scale), -127, 127).astype(np.int8)
    return whole, scale, np.append(whole * scale, model[-1])


def interval(hits, count):
    z, share = 1.96, hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return [round(max(middle - half, 0.0), 3), round(min(middle + half, 1.0), 3)]


def told(rows, held):
    """The figures of held-out scores: the line, each source's recall and the harmless texts over the line."""
    names = np.array([family(source) for source in rows.source])
    benign = (rows.label == 0) & (names != "own")
    line = float(np.quantile(held[benign], 0.99))
    figures = {"line": round(line, 3), "recall": {}, "harmless": {}}
    for name in sorted(set(names)):
        for which, part in ((1, "recall"), (0, "harmless")):
            mask = (names == name) & (rows.label == which)
            if mask.any():
                hits = int((held[mask] > line).sum())
                figures[part][name] = {"texts": int(mask.sum()), "share": round(hits / mask.sum(), 4), "interval": interval(hits, int(mask.sum()))}
    figures["macro_recall"] = round(float(np.mean([one["share"] for name, one in figures["recall"].items() if name != "own"])), 3)
    return figures, [round(float(np.quantile(held[benign], share)), 3) for share in (0.95, 0.99, 0.999)]


def surface_of(options, surface):
    """Evaluates and trains one surface: its part of the file's head and body, its figures, and golden texts."""
    rows = load(options.data, options.books)[surface]
    windows = Windows(options.engine, rows.text, surface)
    if surface == "document":
        windows.sure = sure_windows(windows, rows)
    print(surface, len(rows), "texts", windows.matrix.shape[0], "windows", flush=True)
    held = np.full(len(rows), np.nan)
    names = sorted(set(rows.fold))
    groups = [names[at :: options.groups] for at in range(options.groups)]
    for group in groups:
        out = np.isin(rows.fold, group)
        model = train(rows, windows, ~out & rows.trained, surface)
        held[out] = windows.scores(quantise(model)[2])[out]
        print(", ".join(group), int(out.sum()), flush=True)
    figures, lines = told(rows, held)
    figures["groups"] = [[str(name) for name in group] for group in groups]
    print(json.dumps(figures), flush=True)
    whole, scale, model = quantise(train(rows, windows, rows.trained, surface))
    scores = windows.scores(model) - windows.boost
    mine = np.flatnonzero([source.startswith("own/") and len(text) < 400 for source, text in zip(rows.source, rows.text)])
    chosen = np.random.default_rng(3).permutation(mine)[:40]
    golden = [{"text": rows.text[n], "untrusted": surface == "document", "margin": round(float(scores[n]), 4)} for n in chosen]
    return struct.pack("<5f", scale, model[-1], *lines), whole.tobytes(), figures, golden


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--books", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--groups", type=int, default=6, help="sources are left out in so many groups")
    options = parser.parse_args()
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        heads, bodies, figures, golden = zip(*pool.map(surface_of, [options] * 2, SIZE))
    body = struct.pack("<4sI", b"CGI2", BITS) + b"".join(heads) + b"".join(bodies)
    (options.out / "weights.bin").write_bytes(body + struct.pack("<I", zlib.crc32(body)))
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for part in golden for one in part)
    (options.out / "golden.jsonl").write_text(lines, encoding="utf-8")
    (options.out / "figures.json").write_text(json.dumps(dict(zip(SIZE, figures)), indent=1) + "\n")


main()
