#!/usr/bin/env python3
"""How much the encoder of a Post-LN Transformer still tells positions apart, layer by layer.

    scripts/encoder_spread.py HEADS CHECKPOINT.safetensors...

For eight random sentences of 12 of the dictionary's frequent entries: the root mean square distance of a position's vector
from the mean of its sentence, and the norm of the mean over all positions, `distance/norm` for the embedded input and after
every layer. Where the distance is 0 the encoder gives one vector whatever it reads. Needs numpy.
"""
import json
import math
import struct
import sys

try:
    import numpy as np
except ImportError:
    sys.exit("encoder_spread.py: numpy is missing: pip install numpy")

EPSILON = 1e-5
SENTENCES, LENGTH = 8, 12
ENTRIES = (10, 1500)


def load(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        start = file.tell()
        tensors = {}
        for name, tensor in header.items():
            if name == "__metadata__" or name.startswith("optimizer."):
                continue
            begin, end = tensor["data_offsets"]
            file.seek(start + begin)
            tensors[name] = np.frombuffer(file.read(end - begin), dtype=np.float32).reshape(tensor["shape"])
    return tensors


def positions(length, d):
    """fairseq's sinusoids, whose first position is 2."""
    frequencies = np.exp(np.arange(d // 2) * -(math.log(10000) / (d // 2 - 1)))
    angles = np.arange(2, length + 2)[:, None] * frequencies[None]
    return np.concatenate([np.sin(angles), np.cos(angles)], 1)


def linear(theta, name, x):
    return x @ theta[name + ".weight"].T + theta[name + ".bias"]


def norm(theta, name, x):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt(x.var(-1, keepdims=True) + EPSILON)
    return scaled * theta[name + ".weight"] + theta[name + ".bias"]


def attention(theta, name, x, heads):
    length, d = x.shape
    split = lambda part: linear(theta, f"{name}.{part}_proj", x).reshape(length, heads, -1).transpose(1, 0, 2)
    scores = split("q") @ split("k").transpose(0, 2, 1) / math.sqrt(d // heads)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return linear(theta, f"{name}.out_proj", (weights @ split("v")).transpose(1, 0, 2).reshape(length, d))


def layers(theta, ids, heads):
    table = theta["encoder.embed_tokens.weight"]
    x = table[ids] * math.sqrt(table.shape[1]) + positions(len(ids), table.shape[1])
    yield x
    number = 0
    while f"encoder.layers.{number}.fc1.weight" in theta:
        name = f"encoder.layers.{number}"
        x = norm(theta, f"{name}.self_attn_layer_norm", x + attention(theta, f"{name}.self_attn", x, heads))
        hidden = np.maximum(linear(theta, f"{name}.fc1", x), 0)
        x = norm(theta, f"{name}.final_layer_norm", x + linear(theta, f"{name}.fc2", hidden))
        yield x
        number += 1


def main():
    heads = int(sys.argv[1])
    for path in sys.argv[2:]:
        theta = load(path)
        random = np.random.default_rng(0)
        sentences = [list(layers(theta, random.integers(*ENTRIES, LENGTH), heads)) for _ in range(SENTENCES)]
        found = []
        for layer in zip(*sentences):
            distance = math.sqrt(np.mean([x.var(0).sum() for x in layer]))
            found.append(f"{distance:.2f}/{np.linalg.norm(np.concatenate(layer).mean(0)):.2f}")
        print(path, *found)


main()
