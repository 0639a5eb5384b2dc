"""Trains the injection classifier and says what it is worth on sources that it has not seen.

    cargo build --release -p cardea-core --example guard
    cargo build --release -p cardea-embed --example encode
    pip install -r requirements.txt
    python3 train.py DATA --engine target/release/examples/guard --encoder target/release/examples/encode

DATA is the folder with `injection_prompts.jsonl` and `injection_documents.jsonl`. The engine folds
and decodes the texts and says which structural rules fire (`guard clues`), so that the classifier learns what the rules
leave open. Writes `weights.bin`, `second.bin`, `golden.jsonl` (texts with their scores, for the engine's test) and `figures.json`.
The same inputs give the same bytes: `figures.json` names the inputs by their digests, and `--check` compares with what is here.

Rows under CC-BY-SA-4.0 are never trained on. Evaluation leaves groups of sources out: their texts are scored by a model
that saw none of them, and the line is the one that 1 % of the harmless texts, held out likewise, reach (ours are not
counted for it). Templates of our own and manuals are held out by sevenths.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import zlib

# WHY: sums of many threads, and of another processor's kernels, end in other last bits. Read when numpy is imported.
os.environ.update(OPENBLAS_NUM_THREADS="1", OPENBLAS_CORETYPE="Haswell", OMP_NUM_THREADS="1")

import numpy as np
from numba import njit
from scipy.sparse import csr_matrix, hstack

import own
import second
from concepts import BITS as CONCEPT_BITS
from concepts import Lexicon
from features import BITS, BLOCK, LONGEST, cuts, prompt, record, sentences, spans, squeeze
from second import OURS, told, weigh

HERE = pathlib.Path(__file__).parent
CONCEPTS = HERE / "concepts.txt"
# How strongly weights are drawn to zero: chosen by leaving sources out. Weak ones learn the carriers of the attacks by heart.
PRIOR = {"prompt": 1e-4, "document": 5e-4}
# The mean of so many models, each with this part of our own texts: one alone hangs on its seed and on which texts it saw.
MODELS, PART = {"prompt": 3, "document": 6}, {"prompt": 0.8, "document": 0.6}
# An attack that scores less than this share of harmless texts, with its source left out among so many parts, is not learnt from.
DOUBTED, PARTS = 0.95, 4
SIZE = {"prompt": 1 << BITS, "document": 1 << (BITS - 1)}
# What a structural rule adds to the margin for each point of its confidence: `RULE_WEIGHT` in the engine.
RULE_WEIGHT = 2.0
SHORTEST_CHILD = 16
# Windows of a record that the encoder is shown: `LOOKS` in the engine.
LOOKS = 3
KEYLIKE = re.compile(r"[A-Za-z0-9+/%\\_.=-]{18,}|-----|(?:\d[ .-]?){9,}")
# What the sentences around an order of ours count together, beside the order.
AROUND = 0.3
ALLOWED = ("MIT", "Apache-2.0", "CC0-1.0")

# Sources that share their harmless part with another are left out together: otherwise a model that has seen only the
# attacked copies of some records learns that the records are attacks.
TOGETHER = {"asb-composed": "tau-bench-retail", "cardea-synth-composed": "cardea-synth", "bipia-code": "bipia", "bipia-table": "bipia", "bipia-email": "bipia"}


class Rows:
    """All texts of one surface."""

    def __init__(self, rows, surface):
        self.surface = surface
        self.text, label, source, trained, self.order = zip(*rows)
        self.label, self.source, self.trained = np.array(label), np.array(source), np.array(trained)
        self.fold = np.array([TOGETHER.get(name, name).removesuffix("/work") for name in source])

    def __len__(self):
        return len(self.text)


def books(registry):
    """The folders of the libraries in `manuals.txt`, in its order."""
    missing = []
    for line in (HERE / "manuals.txt").read_text().split("\n"):
        if line and not line.startswith("#"):
            book = line.replace(" ", "-")
            found = sorted(registry.glob(f"*/{book}"))
            missing += [] if found else [line]
            yield from found[:1]
    if missing:
        sys.exit(f"{registry} lacks {len(missing)} libraries of manuals.txt: {', '.join(missing)}. Fetch these versions with cargo.")


def manuals(registry):
    """Pieces of the manuals of the libraries that Cardea is built from: harmless, full of imperatives."""
    for folder in books(registry):
        for path in sorted(folder.glob("*.md")):
            pieces = [piece.strip() for piece in path.read_text(encoding="utf-8", errors="replace").split("\n\n") if piece.strip()]
            for at in range(0, len(pieces), 4):
                piece = "\n\n".join(pieces[at : at + 4])[:1500]
                if zlib.crc32(piece.encode()) % 8 == 0 and len(piece) > 60:
                    yield piece, 0, f"manuals/{zlib.crc32(folder.name.encode()) % 7}", True, None


def load(folder, registry):
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
        plain = unit.removeprefix("work ")
        name = "written" if plain.startswith("written ") else "own"
        made[surface].append((text, label, f"{name}/{own.part(plain)}" + ("/work" if plain != unit else ""), True, order))
    made["document"] += manuals(registry)
    return {surface: Rows(rows, surface) for surface, rows in made.items()}


def digest(*parts):
    """What tells these inputs from others."""
    made = hashlib.sha256()
    for part in parts:
        made.update(part if isinstance(part, bytes) else json.dumps(part).encode())
    return made.hexdigest()[:16]


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
    """All windows of all texts as one sparse matrix: first letters and words, then concepts."""

    def __init__(self, engine, texts, surface, lexicon):
        index, sizes, owner, self.first, boost, self.views = ([], []), ([], []), [], [], [], []
        for number, (views, rules) in enumerate(clues(engine, texts, surface == "document")):
            self.first.append(len(owner))
            boost.append(rules * RULE_WEIGHT)
            self.views.append(views)
            for view in views:
                for window in (prompt if surface == "prompt" else record)(view, lexicon):
                    for part, features in enumerate(window):
                        index[part].append(features)
                        sizes[part].append(len(features))
                    owner.append(number)
            if self.first[-1] == len(owner):
                # A text without words: the bias alone, as in the engine.
                for part in (0, 1):
                    index[part].append(np.zeros(0, np.int32))
                    sizes[part].append(0)
                owner.append(number)
        self.first, self.owner, self.boost = np.array(self.first), np.array(owner), np.array(boost, np.float32)
        self.ends, self.surface = np.append(self.first[1:], len(owner)), surface
        # Which windows of attacks hold some of the order: all where it is not known.
        self.order = np.ones(len(owner), bool)
        blocks = []
        for features, size, width in zip(index, sizes, (SIZE[surface], 1 << CONCEPT_BITS)):
            size = np.array(size)
            value = np.repeat((1 / np.sqrt(np.maximum(size, 1))).astype(np.float32), size)
            blocks.append(csr_matrix((value, np.concatenate(features), np.concatenate([[0], np.cumsum(size)])), shape=(len(size), width)))
        self.matrix = hstack(blocks, format="csr")

    def margins(self, model):
        return self.matrix @ model[:-1].astype(np.float32) + np.float32(model[-1])

    def best(self, margins):
        """The number of each text's strongest window."""
        order = np.lexsort((margins, self.owner))
        return order[np.append(np.flatnonzero(np.diff(self.owner[order])), len(order) - 1)]

    def strong(self, margins):
        """(text, window) of the strongest windows that do not overlap, the strongest first: `LOOKS` of a record, one of a prompt."""
        for text, (start, end) in enumerate(zip(self.first, self.ends)):
            chosen, places = [], self.places(text) if self.surface == "document" else []
            for window in start + np.argsort(-margins[start:end], kind="stable"):
                if places:
                    view, first, last = places[window - start]
                    if any(view == other and first < end_of and begin < last for other, begin, end_of in chosen):
                        continue
                    chosen.append((view, first, last))
                yield text, window
                if len(chosen) in (0, LOOKS):
                    break

    def places(self, text):
        """(view, first sentence, the one behind the last) of each window of a record."""
        return [(number, first, first + count) for number, view in enumerate(self.views[text]) for first, count in spans(sum(1 for _ in sentences(view)))]

    def shown(self, text, window):
        """What the encoder is shown of a text whose strongest window this is: `Strongest::shown` in the engine."""
        left = window - self.first[text]
        for view in self.views[text]:
            if self.surface == "prompt":
                count = sum(1 for _ in blocks_of(view))
                if left < count:
                    return extract(view)
            else:
                parts = list(sentences(view))
                windows = spans(len(parts))
                if left < len(windows):
                    number, count = windows[left]
                    return extract(b"".join(parts[number : number + count]).decode("utf-8", "replace"))
                count = len(windows)
            left -= count
        return extract(self.views[text][0])


def blocks_of(view):
    """As many values as a prompt has windows."""
    length = len(squeeze(view.encode("utf-8", "replace")[: 64 * 1024]))
    yield 0
    last = (length - 1) // BLOCK
    yield from range(last if last > 1 else 0)


def extract(text, letters=600):
    return text if len(text) <= letters else f"{text[: letters // 2]} {text[-letters // 2 :]}"


@njit
def descend(indptr, indices, data, wanted, share, offset, weights, bias, order, epochs, rate, prior):
    """Logistic regression by stochastic descent, each weight with a step size of its own."""
    steps = np.full(len(weights), 1e-3, np.float32)
    steepness = 1.0
    for _ in range(epochs):
        for row in order:
            margin = bias[0] + offset[row]
            for at in range(indptr[row], indptr[row + 1]):
                margin += data[at] * weights[indices[at]]
            slope = (1 / (1 + np.exp(-min(max(margin, -30.0), 30.0))) - wanted[row]) * share[row]
            if abs(slope) < 1e-4:
                continue
            for at in range(indptr[row], indptr[row + 1]):
                column = indices[at]
                step = slope * data[at] + prior * weights[column]
                steps[column] += step * step
                weights[column] -= rate * step / np.sqrt(steps[column])
            steepness += slope * slope
            bias[0] -= rate * 0.2 * slope / np.sqrt(steepness)
        np.random.shuffle(order)


@njit
def seed(number):
    np.random.seed(number)


def fit(windows, chosen, label, weight, number, start=None, epochs=5):
    """Labels and weights are of windows; the rules' part of the margin is given. The number tells the order of the texts."""
    matrix, owner = windows.matrix[chosen], windows.owner[chosen]
    share = weight[chosen] / weight[chosen].mean()
    weights = np.zeros(matrix.shape[1], np.float32) if start is None else start[:-1].astype(np.float32)
    bias = np.array([0.0 if start is None else start[-1]])
    seed(number)
    order = np.random.default_rng(number).permutation(len(chosen))
    descend(matrix.indptr, matrix.indices, matrix.data, label[chosen].astype(np.float32), share.astype(np.float32), windows.boost[owner], weights, bias, order, epochs, 0.15, PRIOR[windows.surface])
    return np.append(weights, bias[0])


def train(rows, windows, use, surface, first=1):
    ours, models = np.array([source.startswith(OURS) for source in rows.source]), []
    for number in range(first, first + MODELS[surface]):
        seen = np.random.default_rng(number + 10).random(len(rows)) <= PART[surface]
        models.append(one_model(rows, windows, use & (seen | ~ours), surface, number))
    return np.mean(models, axis=0)


def believed(rows, windows, use, surface):
    """What to train on: all of `use` but the prompts that others call attacks and models without their source do not.

    WHY: about half of some sources' attacks are ordinary requests; a model that learns them refuses those of every day.
    """
    if surface == "document":
        return use
    others = np.array([not source.startswith(OURS) for source in rows.source])
    names = sorted(set(rows.fold[use & others]))
    margin = np.full(len(rows), np.nan, np.float32)
    for at in range(PARTS):
        out = use & np.isin(rows.fold, names[at::PARTS])
        margins = windows.margins(one_model(rows, windows, use & ~out, surface, at + 1))
        margin[out] = (margins[windows.best(margins)] + windows.boost)[out]
    line = np.quantile(margin[use & others & (rows.label == 0)], DOUBTED)
    return use & ~((rows.label == 1) & (margin < line))


def one_model(rows, windows, use, surface, number):
    """First on whole texts (records: on all windows of harmless ones), then on each attack's strongest window."""
    of_row, owner = weigh(rows, use), windows.owner
    weight, label = of_row[owner], rows.label[owner].astype(np.float64)
    if surface == "prompt":
        chosen = windows.first[use]
        model = fit(windows, chosen, label, weight, number)
        best = windows.best(windows.margins(model))
        return fit(windows, np.concatenate([chosen, best[use]]), label, weight, number, model, epochs=3)
    # What the orders look like is known for our own records, and what stands around them is harmless; of others every window
    # is a guess at first.
    # What stands in harmless texts as well is no order: else a model learns the records that attacks were put into.
    around = (~windows.order | np.isin(windows.key, windows.key[use[owner] & (label == 0)])) & (label == 1)
    count = np.maximum(np.bincount(owner, (label == 0) | around, len(rows)), 1)[owner]
    weight = np.where(around, AROUND * weight / count, np.where(label == 0, weight / count, weight))
    label[around] = 0
    harmless = np.flatnonzero(use[owner] & (label == 0))
    model = fit(windows, np.concatenate([harmless, windows.sure[use[owner[windows.sure]]]]), label, weight, number, epochs=4)
    for _ in range(2):
        best = windows.best(np.where(around, -np.inf, windows.margins(model)))
        model = fit(windows, np.concatenate([harmless, best[use]]), label, weight, number, model, epochs=3)
    return model


def know_orders(engine, windows, rows):
    """Which windows of attacks hold some of the order (all where it is not known), and which are taken for orders from the start."""
    known = sorted({order for order in rows.order if order})
    folded = dict(zip(known, (views[0].strip() for views, _ in clues(engine, known, True))))
    matrix = windows.matrix
    windows.key = np.array([zlib.crc32(matrix.indices[start:end].tobytes()) for start, end in zip(matrix.indptr, matrix.indptr[1:])])
    windows.sure = []
    for number in np.flatnonzero(rows.label == 1):
        at = np.arange(windows.first[number], windows.ends[number])
        order, raw = rows.order[number], windows.views[number][0].encode("utf-8", "replace")[:LONGEST]
        wanted = folded.get(order, "").encode("utf-8", "replace")
        start = raw.find(wanted) if wanted else -1
        if start >= 0:
            parts = list(cuts(raw))
            inside = [parts[first][0] < start + len(wanted) and parts[first + count - 1][1] > start for first, count in spans(len(parts))]
            if any(inside):
                windows.order[at[: len(inside)]] = inside
        alone = order is not None and rows.text[number] == order
        if alone or (order is None and len(at) <= 6):
            windows.sure.append(at)
    windows.sure = np.concatenate(windows.sure)


def quantise(model, surface):
    """Both blocks as bytes with their scales, and the model that these are."""
    bytes_of, scales = [], []
    for weights in (model[: SIZE[surface]], model[SIZE[surface] : -1]):
        scale = float(np.quantile(np.abs(weights[weights != 0]), 0.9995)) / 127
        bytes_of.append(np.clip(np.round(weights / scale), -127, 127).astype(np.int8))
        scales.append(scale)
    rounded = np.concatenate([whole * scale for whole, scale in zip(bytes_of, scales)])
    return bytes_of, scales, np.append(rounded, model[-1])


def surface_of(options, surface):
    """Evaluates and trains one surface: its parts of the two files, its figures, and golden texts."""
    rows = load(options.data, options.registry)[surface]
    folded, _ = next(clues(options.engine, [CONCEPTS.read_text(encoding="utf-8")], False))
    windows = Windows(options.engine, rows.text, surface, Lexicon(folded[0]))
    if surface == "document":
        know_orders(options.engine, windows, rows)
    print(surface, len(rows), "texts", windows.matrix.shape[0], "windows", flush=True)
    # What models that have not seen a text say of its windows; of texts that are never left out, what the last one says.
    held, said = np.zeros(len(rows), bool), np.full(len(windows.owner), np.nan, np.float32)
    names = sorted(set(rows.fold))
    groups = [names[at :: options.groups] for at in range(options.groups)]
    if options.alone:
        whole = [[name for name in names if name.startswith("manuals/")]] if options.alone == "whole" else []
        groups = whole + [[name] for name in names if not name.startswith("own/") and not (whole and name in whole[0])]
    for group in groups:
        out = np.isin(rows.fold, group)
        use = believed(rows, windows, ~out & rows.trained, surface)
        margins = windows.margins(quantise(train(rows, windows, use, surface), surface)[2])
        held |= out
        said = np.where((out | ~held)[windows.owner], margins, said)
        print(", ".join(group), int(out.sum()), flush=True)
    margin = np.where(held, said[windows.best(said)] + windows.boost, np.nan)
    figures, lines = told(rows, margin, surface)
    figures["groups"] = [[str(name) for name in group] for group in groups]
    figures["inputs"] = {"texts": digest([rows.text, rows.label.tolist(), rows.source.tolist()]), "clues": digest([windows.views, windows.boost.tolist()])}
    print(surface, json.dumps(figures), flush=True)
    head, figures["second_look"] = second.look(options, rows, windows, said, margin, groups)
    print(surface, json.dumps(figures["second_look"]), flush=True)
    if options.alone:
        return figures
    whole, scales, model = quantise(train(rows, windows, believed(rows, windows, rows.trained, surface), surface), surface)
    margins = windows.margins(model)
    margins = margins[windows.best(margins)]
    # The engine's test scores what is written, not other readings of it.
    # What could be a key is not kept: scanners of repositories would stop at it.
    mine = np.flatnonzero([source.startswith("own/") and len(text) < 400 and len(views) == 1 and not KEYLIKE.search(text) for source, text, views in zip(rows.source, rows.text, windows.views)])
    chosen = np.random.default_rng(3).permutation(mine)[:40]
    golden = [{"text": rows.text[n], "untrusted": surface == "document", "margin": round(float(margins[n]), 4)} for n in chosen]
    return struct.pack("<6f", *scales, model[-1], *lines), b"".join(part.tobytes() for part in whole), head, figures, golden


def part_here(surface):
    """What the files here hold for one surface."""
    weights, head, golden = (HERE / "weights.bin").read_bytes(), (HERE / "second.bin").read_bytes(), (HERE / "golden.jsonl").read_text("utf-8")
    first, last = surface == "prompt", surface == "document"
    size, units = SIZE["prompt"] + (1 << CONCEPT_BITS), struct.unpack_from("<I", head, 4)[0]
    end = 4 + 28 + second.WIDE * 8 + units * (12 + second.WIDE)
    body = weights[56 : 56 + size] if first else weights[56 + size : -4]
    lines = [one for one in map(json.loads, golden.split("\n")[:-1]) if one["untrusted"] == last]
    figures = json.loads((HERE / "figures.json").read_text())[surface]
    return weights[8 + 24 * last : 32 + 24 * last], body, head[4:end] if first else head[end:-4], figures, lines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--encoder", required=True, help="the example `encode` of cardea-embed")
    parser.add_argument("--registry", type=pathlib.Path, default=pathlib.Path.home() / ".cargo/registry/src", help="where cargo keeps the sources of libraries")
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    parser.add_argument("--only", choices=tuple(SIZE), help="train this part and keep the other of the files here")
    parser.add_argument("--check", type=pathlib.Path, help="write to this folder instead, and say which files differ from those here")
    parser.add_argument("--processes", type=int, default=2, choices=(1, 2), help="both surfaces beside each other, or one after the other")
    parser.add_argument("--groups", type=int, default=6, help="sources are left out in so many groups")
    parser.add_argument("--alone", choices=("sevenths", "whole"), help="leave each source out alone, manuals by sevenths or as a whole, and write nothing but `alone.json`")
    options = parser.parse_args()
    options.out = options.check or options.out
    surfaces = [surface for surface in SIZE if options.only in (surface, None)]
    with concurrent.futures.ProcessPoolExecutor(options.processes) as pool:
        made = dict(zip(surfaces, pool.map(surface_of, [options] * len(surfaces), surfaces)))
    if options.alone:
        kept = json.loads((HERE / "alone.json").read_text()) if options.only else {}
        (options.out / "alone.json").write_text(json.dumps({surface: made.get(surface, kept.get(surface)) for surface in SIZE}, indent=1) + "\n")
        return
    heads, bodies, seconds, figures, golden = zip(*(made[surface] if surface in made else part_here(surface) for surface in SIZE))
    for name, body in (("weights.bin", struct.pack("<4sI", b"CGI3", BITS) + b"".join(heads) + b"".join(bodies)), ("second.bin", b"CGS2" + b"".join(seconds))):
        (options.out / name).write_bytes(body + struct.pack("<I", zlib.crc32(body)))
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for part in golden for one in part)
    (options.out / "golden.jsonl").write_text(lines, encoding="utf-8")
    (options.out / "figures.json").write_text(json.dumps(dict(zip(SIZE, figures)), indent=1) + "\n")
    if options.check:
        made = ("weights.bin", "second.bin", "golden.jsonl", "figures.json")
        other = [name for name in made if (HERE / name).read_bytes() != (options.out / name).read_bytes()]
        sys.exit(f"not as shipped: {', '.join(other)}; see `inputs` in figures.json" if other else None)


if __name__ == "__main__":
    main()
