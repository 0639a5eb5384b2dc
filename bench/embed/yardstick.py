#!/usr/bin/env python3
"""Times onnxruntime on the model that `models/minilm` was made from, as dynamic int8, one thread, CPU time.

    bench/embed/yardstick.sh            # makes a venv with what this needs, and runs our own program by turns with it
    python3 bench/embed/yardstick.py WHEEL [TOKENS…]

The graph is written here from the wheel's float tensors with plain ONNX operators, brought to 8 bits by onnxruntime's own
quantiser (its matrix products then run on `MatMulInteger`, fused by onnxruntime as it sees fit), and compared once with the
float model of `models/minilm/check.py`.
"""

import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

sys.path.insert(0, str(Path(__file__).parents[2] / "models/minilm"))
from make import tensors  # noqa: E402

LAYERS, HEADS, WIDTH = 6, 12, 384


class Graph:
    """Collects nodes and constants, each under a name of its own."""

    def __init__(self, found):
        self.found, self.nodes, self.constants = found, [], []

    def constant(self, value, name=None):
        name = name or f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(self, kind, *inputs, **settings):
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **settings))
        return name

    def dense(self, value, name):
        weight = self.constant(self.found[name + ".weight"].T.astype(np.float32), name)
        return self.op("Add", self.op("MatMul", value, weight), self.constant(self.found[name + ".bias"].astype(np.float32)))

    def norm(self, value, name):
        gain, shift = (self.constant(self.found[f"{name}.{part}"].astype(np.float32)) for part in ("weight", "bias"))
        return self.op("LayerNormalization", value, gain, shift, axis=-1, epsilon=1e-12)

    def heads(self, value, turned):
        shape = self.constant(np.array([1, -1, HEADS, WIDTH // HEADS], dtype=np.int64))
        return self.op("Transpose", self.op("Reshape", value, shape), perm=[0, 2, 3, 1] if turned else [0, 2, 1, 3])

    def layer(self, x, at):
        q = self.heads(self.dense(x, at + "attention.self.query"), False)
        k = self.heads(self.dense(x, at + "attention.self.key"), True)
        v = self.heads(self.dense(x, at + "attention.self.value"), False)
        scale = self.constant(np.array((WIDTH / HEADS) ** -0.5, dtype=np.float32))
        shares = self.op("Softmax", self.op("Mul", self.op("MatMul", q, k), scale), axis=-1)
        mixed = self.op("Transpose", self.op("MatMul", shares, v), perm=[0, 2, 1, 3])
        mixed = self.op("Reshape", mixed, self.constant(np.array([1, -1, WIDTH], dtype=np.int64)))
        x = self.norm(self.op("Add", x, self.dense(mixed, at + "attention.output.dense")), at + "attention.output.LayerNorm")
        inner = self.dense(x, at + "intermediate.dense")
        half, one, root = (self.constant(np.array(n, dtype=np.float32)) for n in (0.5, 1.0, 2**-0.5))
        inner = self.op("Mul", self.op("Mul", inner, half), self.op("Add", self.op("Erf", self.op("Mul", inner, root)), one))
        return self.norm(self.op("Add", x, self.dense(inner, at + "output.dense")), at + "output.LayerNorm")


def model(found):
    graph = Graph(found)
    part = "embeddings."
    table = lambda name: graph.constant(found[part + name + "_embeddings.weight"].astype(np.float32))  # noqa: E731
    words = graph.op("Gather", table("word"), "ids")
    places = graph.op("Gather", table("position"), "places")
    kind = graph.constant(found[part + "token_type_embeddings.weight"][:1].astype(np.float32))
    x = graph.norm(graph.op("Add", graph.op("Add", words, places), kind), part + "LayerNorm")
    for number in range(LAYERS):
        x = graph.layer(x, f"encoder.layer.{number}.")
    mean = graph.op("ReduceMean", x, graph.constant(np.array([1], dtype=np.int64)), keepdims=0)
    graph.nodes.append(helper.make_node("LpNormalization", [mean], ["vector"], axis=-1, p=2))
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, [1, "tokens"]) for name in ("ids", "places")]
    outputs = [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, WIDTH])]
    made = helper.make_graph(graph.nodes, "minilm", inputs, outputs, graph.constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def main():
    with zipfile.ZipFile(sys.argv[1]) as package:
        name = next(name for name in package.namelist() if name.endswith("model.safetensors"))
        found = tensors(package.read(name))
    lengths = [int(word) for word in sys.argv[2:]] or [8, 16, 32, 64, 128]
    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        onnx.save(model(found), plain)
        quantize_dynamic(plain, small, weight_type=QuantType.QInt8, per_channel=False)
        exact, quick = session(plain), session(small)
        for tokens in lengths:
            ids = np.random.default_rng(tokens).integers(1996, 20000, (1, tokens))
            ids[0, 0], ids[0, -1] = 101, 102
            feed = {"ids": ids, "places": np.arange(tokens)[None]}
            near = float((exact.run(None, feed)[0] * quick.run(None, feed)[0]).sum())
            times = []
            for _ in range(7):
                # WHY: the clock of threads counts in steps of up to 4 ms here, so a round lasts some tens of them.
                rounds, before = max(1, 2560 // tokens), time.thread_time()
                for _ in range(rounds):
                    quick.run(None, feed)
                times.append((time.thread_time() - before) * 1000 / rounds)
            times.sort()
            print(f"onnxruntime {onnxruntime.__version__} dynamic int8 {tokens:4} tokens: {times[0]:7.3f} / "
                  f"{times[len(times) // 2]:7.3f} ms   (cosine to its float model {near:.4f})", flush=True)


if __name__ == "__main__":
    main()
