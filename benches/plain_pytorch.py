"""The same training as a straightforward PyTorch program does it: nn.Transformer, torch.optim.Adam, fp32.

    python benches/plain_pytorch.py DATA SOURCE TARGET UPDATES

Sizes and dropouts of transformer_iwslt_de_en, embeddings of the decoder tied, batches by 4,096 tokens. Prints one JSON
object an update: target tokens, seconds, loss in bits a token."""

import json
import math
import struct
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

PAD, EOS, MAX_TOKENS = 1, 2, 4096


def sentences(prefix):
    """The ids of a split in fairseq's mmap format."""
    index = Path(f"{prefix}.idx").read_bytes()
    assert index[:9] == b"MMIDIDX\0\0", prefix
    dtype = {1: np.uint8, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64, 8: np.uint16}[index[17]]
    count = struct.unpack_from("<Q", index, 18)[0]
    sizes = np.frombuffer(index, np.int32, count, 34)
    ids = np.memmap(f"{prefix}.bin", dtype, "r")
    return np.split(ids, np.cumsum(sizes)[:-1])


class Model(nn.Module):
    def __init__(self, source_symbols, target_symbols, d=512, ffn=1024, heads=4, layers=6, dropout=0.3):
        super().__init__()
        self.d = d
        self.source = nn.Embedding(source_symbols, d, padding_idx=PAD)
        self.target = nn.Embedding(target_symbols, d, padding_idx=PAD)
        for table in (self.source, self.target):
            nn.init.normal_(table.weight, std=d**-0.5)
        self.net = nn.Transformer(d, heads, layers, layers, ffn, dropout, batch_first=True)
        for module in self.net.modules():
            if isinstance(module, nn.MultiheadAttention):
                module.dropout = 0.1
            if isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
                module.dropout.p = 0.1  # The one after ReLU.
        self.dropout = nn.Dropout(dropout)
        position = torch.arange(1024)[:, None] * torch.exp(torch.arange(0, d, 2) * (-math.log(10000.0) / d))
        self.register_buffer("positions", torch.stack([position.sin(), position.cos()], 2).view(1024, d))

    def embed(self, table, ids):
        return self.dropout(table(ids) * self.d**0.5 + self.positions[: ids.shape[1]])

    def forward(self, source, previous):
        length = previous.shape[1]
        future = torch.triu(torch.ones(length, length, dtype=torch.bool), 1)
        padding = source == PAD
        out = self.net(
            self.embed(self.source, source), self.embed(self.target, previous), tgt_mask=future,
            src_key_padding_mask=padding, tgt_key_padding_mask=previous == PAD, memory_key_padding_mask=padding,
            tgt_is_causal=True,
        )
        return out @ self.target.weight.T


def pad(rows):
    out = torch.full((len(rows), max(map(len, rows))), PAD)
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.from_numpy(row.astype(np.int64))
    return out


def main():
    data, source_lang, target_lang, updates = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    split = f"{data}/train.{source_lang}-{target_lang}"
    source, target = sentences(f"{split}.{source_lang}"), sentences(f"{split}.{target_lang}")
    symbols = [4 + sum(1 for _ in open(f"{data}/dict.{lang}.txt", "rb")) for lang in (source_lang, target_lang)]
    torch.manual_seed(1)
    longest = [max(len(s), len(t)) for s, t in zip(source, target)]
    batches, batch = [], []
    for i in sorted(range(len(source)), key=longest.__getitem__):
        if batch and longest[i] * (len(batch) + 1) > MAX_TOKENS:
            batches.append(batch)
            batch = []
        batch.append(i)
    batches.append(batch)
    model = Model(*symbols).train()
    loss_of = nn.CrossEntropyLoss(ignore_index=PAD, label_smoothing=0.1, reduction="sum")
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4 / 4000, betas=(0.9, 0.98), weight_decay=1e-4)
    for update, at in enumerate(torch.randperm(len(batches))[:updates].tolist()):
        start = time.perf_counter()
        x, y = pad([source[i] for i in batches[at]]), pad([target[i] for i in batches[at]])
        previous = torch.cat([torch.full((len(y), 1), EOS), y[:, :-1]], 1)
        tokens = int((y != PAD).sum())
        optimizer.param_groups[0]["lr"] = 5e-4 * (update + 1) / 4000
        loss = loss_of(model(x, previous).flatten(0, 1), y.flatten()) / tokens
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        bits = loss.item() / math.log(2)
        print(json.dumps({"tokens": tokens, "seconds": time.perf_counter() - start, "loss": bits}), flush=True)


if __name__ == "__main__":
    main()
