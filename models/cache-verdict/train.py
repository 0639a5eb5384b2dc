#!/usr/bin/env python3
"""Trains the cache's score and measures it. Needs numpy.

    python3 models/cache-verdict/train.py PAIRS.features STREAM.features [--write crates/cardea-core/src/cache/weights.rs]

Both inputs come from the program `cache_features` of cardea-embed. Training data: own pairs, the given hard pairs
(CC0) and CLINC150 and banking77 pairs (CC BY). Figures of pairs are for data that the model has not seen: ten folds by
template or by intent, and the lists in `UNSEEN`, which are in no fold. How far a text must stand out from its surroundings (`STEEP`, `CROWD`, `LENGTH`, `LEVEL`) is
fitted on one stream and tried on the other, then rounded by hand; the streams themselves are replayed in Rust.
"""

import json
import re
import sys

import numpy as np

SETTINGS = (0.4, 0.5, 0.57, 0.6, 0.65, 0.7, 0.8)
UNSEEN = ("cardea-held", "cardea-fresh", "cardea-later", "cardea-edits", "cardea-edits-aside", "cardea-roles",
          "cardea-roles-aside", "cardea-fronted", "cardea-opposites", "cardea-opposites-aside")
# As in weights.rs.
STEEP, CROWD, LENGTH, LEVEL, FLOOR = 14.0, 0.8, 0.06, 0.458, 0.78


def load(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def template(text):
    text = re.sub(r"\b[A-Z][\w-]*|\S*\d\S*", "_", text[:1].lower() + text[1:])
    return re.sub(r"\W+", " ", text.lower()).strip()


def groups(rows):
    """Pairs that share a template (or an intent) on either side stand in one group."""
    parent = {}

    def find(key):
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    def keys(row):
        if "family" in row:
            return [row["family"]]
        if "intent_a" in row:
            return [row["source"] + row["intent_a"]]
        return ["hard " + template(row["a"]), "hard " + template(row["b"])]

    for row in rows:
        first, *rest = [find(key) for key in keys(row)]
        for key in rest:
            parent[find(key)] = first
    return [find(keys(row)[0]) for row in rows]


def weigh(rows):
    """Each source and label counts alike, so that the large intent files do not drown the hard pairs."""
    share = {"cardea-synth": 1.5, "cardea-own": 1.0, "cardea-wide": 1.0, "banking77": 1.0, "clinc150": 1.0}
    kinds = [(row["source"], row["same"]) for row in rows]
    counts = {kind: kinds.count(kind) for kind in set(kinds)}
    return np.array([share[kind[0]] / counts[kind] for kind in kinds])


def train(rows, ridge=1e-3):
    """Logistic regression by Newton's method on scaled features."""
    # Far pairs are never asked about. Vetoed ones stay in: they teach what a small difference weighs.
    rows = [row for row in rows if row["f"][0] > 0.5]
    x = np.array([row["f"] for row in rows])
    y = np.array([row["same"] for row in rows], dtype=float)
    sample = weigh(rows)
    sample = sample / sample.sum()
    middle, spread = x.mean(0), x.std(0) + 1e-9
    z = np.hstack([(x - middle) / spread, np.ones((len(x), 1))])
    weights = np.zeros(z.shape[1])
    hold = np.full(z.shape[1], ridge)
    hold[-1] = 0
    for _ in range(40):
        p = 1 / (1 + np.exp(-z @ weights))
        slope = z.T @ (sample * (p - y)) + hold * weights
        bend = (z * (sample * p * (1 - p))[:, None]).T @ z + np.diag(hold + 1e-9)
        weights = weights - np.linalg.solve(bend, slope)
    scaled = weights[:-1] / spread
    return scaled, weights[-1] - scaled @ middle


def scores(model, features):
    return 1 / (1 + np.exp(-(np.array(features) @ model[0] + model[1])))


def bound(errors, count, doubt=0.05):
    """One-sided Clopper-Pearson upper bound."""
    if count == 0 or errors >= count:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(50):
        share = (low + high) / 2
        log, total = count * np.log1p(-share), 0.0
        for k in range(errors + 1):
            total += np.exp(log)
            log += np.log((count - k) / (k + 1)) + np.log(share / (1 - share))
        low, high = (share, high) if total > doubt else (low, share)
    return high


def report(name, rows, decide):
    same = np.array([row["same"] for row in rows])
    hit = np.array([decide(index, row) for index, row in enumerate(rows)])
    served, negatives = int((hit & ~same).sum()), int((~same).sum())
    recall = (hit & same).sum() / same.sum()
    precision = (hit & same).sum() / max(hit.sum(), 1)
    print(f"| {name} | {precision:.3f} | {recall:.3f} | {served}/{negatives} = {served / max(negatives, 1):.1%} "
          f"| {bound(served, negatives):.1%} |")


def standing(row):
    """As `standing` in verdict.rs."""
    lead = row["f"][0] - CROWD * row["crowd"] + LENGTH * np.log(max(row["words"], 1.0))
    return 1 / (1 + np.exp(-STEEP * (lead - LEVEL)))


def stands_out(stream):
    """Fits the lead over the surroundings on one stream and tries it on the other."""
    def table(source):
        rows = [row["best"] for row in stream if row["source"] in source and row["best"]]
        x = np.array([[row["cosine"], row["crowd"], np.log(max(row["words"], 1.0))] for row in rows])
        return x, np.array([row["same"] for row in rows], dtype=float)

    def fit(x, y):
        x = np.hstack([x, np.ones((len(x), 1))])
        weights = np.zeros(x.shape[1])
        for _ in range(60):
            p = 1 / (1 + np.exp(-x @ weights))
            bend = (x * (p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(x.shape[1])
            weights = weights - np.linalg.solve(bend, x.T @ (p - y))
        return weights

    def served(values, same, precision):
        """The largest share of texts that can be served at this precision, by one threshold."""
        order = np.argsort(-values)
        right = np.cumsum(same[order]) / np.arange(1, len(order) + 1)
        fit = np.flatnonzero(right >= precision)
        return (fit[-1] + 1) / len(order) if len(fit) else 0.0

    print("\nstanding: nearest entry without a veto; fitted on one stream, tried on the other")
    print("| fitted on | steep | crowd | length | tried on | served at 97.5% right: cosine alone | with the surroundings |")
    print("|---|---|---|---|---|---|---|")
    for learnt, tried in (("banking77", "clinc150"), ("clinc150", "banking77")):
        weights = fit(*table([learnt]))
        x, same = table([tried])
        lead = x @ (weights[:3] / weights[0])
        print(f"| {learnt} | {weights[0]:.1f} | {-weights[1] / weights[0]:.2f} | {weights[2] / weights[0]:.3f} | {tried} "
              f"| {served(x[:, 0], same, 0.975):.3f} | {served(lead, same, 0.975):.3f} |")


def replayed(stream):
    for source in ("banking77", "clinc150"):
        rows = [row for row in stream if row["source"] == source]
        wrong = [row["served"] not in (None, row["class"]) for row in rows]
        hit = [row["served"] is not None for row in rows]
        half, count = len(rows) // 2, len(rows)
        print(f"| {source} | {sum(hit) / count:.3f} / {sum(wrong) / count:.2%} (≤ {bound(sum(wrong), count):.2%}) "
              f"| {sum(hit[half:]) / (count - half):.3f} / {sum(wrong[half:]) / (count - half):.2%} |")


def main():
    everything, stream = load(sys.argv[1]), load(sys.argv[2])
    pairs = [row for row in everything if row["source"] not in UNSEEN]
    unseen = [row for row in everything if row["source"] in UNSEEN]
    group = groups(pairs)
    names = sorted(set(group))
    np.random.default_rng(7).shuffle(names)
    fold = {name: number % 10 for number, name in enumerate(names)}
    folds = np.array([fold[name] for name in group])
    out_of_fold = np.zeros(len(pairs))
    for number in range(10):
        model = train([row for row, at in zip(pairs, folds) if at != number])
        for index in np.flatnonzero(folds == number):
            out_of_fold[index] = scores(model, pairs[index]["f"])
    final = train(pairs)
    told = [*zip(pairs, out_of_fold), *((row, scores(final, row["f"])) for row in unseen)]
    for source in ("cardea-synth", "cardea-own", "cardea-wide", *UNSEEN, "banking77", "clinc150"):
        chosen = [(row, score) for row, score in told if row["source"] == source]
        if not chosen:
            continue
        rows, found = [row for row, _ in chosen], [score for _, score in chosen]
        print(f"\n{source}: {len(rows)} pairs\n| decision | precision | recall | negatives served | 95% bound |\n|---|---|---|---|---|")
        for threshold in (0.85, 0.92):
            report(f"cosine {threshold}", rows, lambda i, row: row["f"][0] >= threshold)  # noqa: B023
            report(f"cosine {threshold} + veto", rows, lambda i, row: row["f"][0] >= threshold and not row["veto"])  # noqa: B023
        for threshold in SETTINGS:
            report(f"score {threshold}, cosine {FLOOR} + veto", rows,
                   lambda i, row: min(found[i], standing(row)) >= threshold and row["f"][0] >= FLOOR and not row["veto"])  # noqa: B023
    stands_out(stream)
    print("\nstreams, cold, usual mode\n| source | hits / errors of all (95% bound) | second half |\n|---|---|---|")
    replayed(stream)
    if "--write" in sys.argv:
        weights, bias = final
        target = sys.argv[sys.argv.index("--write") + 1]
        with open(target) as file:
            text = file.read()
        table = ",\n    ".join(f"{value:.5f}" for value in weights)
        text = re.sub(r"(WEIGHTS: \[f32; \d+\] =)\s*\[.*?\];", rf"\1 [\n    {table},\n];", text, flags=re.S)
        text = re.sub(r"(BIAS: f32 = ).*?;", rf"\g<1>{bias:.5f};", text)
        with open(target, "w") as file:
            file.write(text)
        print(f"\nwrote {target}")


if __name__ == "__main__":
    main()
