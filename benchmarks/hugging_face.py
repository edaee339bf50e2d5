"""Modules of Hugging Face's transformers as they are: small ones, with random weights, compiled without a wrapper.

    python benchmarks/hugging_face.py [PATTERN ...] [--markdown FILE] [--packages FOLDER]

Names or shell patterns narrow the run down. transformers is installed into a folder of its own. Random weights say
nothing about accuracy on real data, but whether an architecture compiles, and whether its circuit decides as float
does on inputs held out of calibration. The exit status is 1 if one does not compile, or has a cosine below 0.999, or
gives logits whose largest are not all those of float. Seconds are those of the processor.
"""

import argparse
import fnmatch
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from measure import ROOT, Stopwatch, markdown_table, provenance

import zkinfer as zk

REQUIREMENT = "transformers==5.24.0"
PACKAGES = ROOT / "build" / "hugging-face"
CALIBRATION, HELD_OUT = 16, 16
MIN_COSINE = 0.999
WORDS, LENGTH = 120, 12
TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": WORDS,
    "max_position_embeddings": 80,
}
PICTURE = {**{name: TEXT[name] for name in list(TEXT)[:4]}, "image_size": 32, "patch_size": 8}
BERT_LIKE = {"hidden_dim": 64, "dim": 32, "n_layers": 2, "n_heads": 2, "vocab_size": WORDS}
GPT_LIKE = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": WORDS, "n_positions": 80}
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
BUCKETS = {"position_buckets": 8, "share_att_key": True, "norm_rel_ebd": "layer_norm"}

Data = Mapping[str, np.ndarray]
Row = tuple[str, Mapping[str, Any], Callable[[np.random.Generator, int], Data]]
"""The class; what its configuration says; inputs."""


def words(rng: np.random.Generator, count: int) -> Data:
    """Numbers of words, none of which has a meaning of its own."""
    return {"input_ids": rng.integers(5, WORDS - 1, (count, LENGTH))}


def masked(rng: np.random.Generator, count: int) -> Data:
    """The same, of different lengths: what follows is padding."""
    ids, lengths = words(rng, count)["input_ids"], rng.integers(LENGTH // 2, LENGTH + 1, count)
    mask = (np.arange(LENGTH) < lengths[:, None]).astype(np.int64)
    return {"input_ids": np.where(mask > 0, ids, 1), "attention_mask": mask}


def ended(rng: np.random.Generator, count: int) -> Data:
    """Words, the last of which ends the text."""
    return {"input_ids": np.concatenate([words(rng, count)["input_ids"], np.full((count, 1), WORDS - 1)], axis=1)}


def pictures(height: int, width: int) -> Callable[[np.random.Generator, int], Data]:
    """Normal noise."""
    return lambda rng, n: {"pixel_values": rng.normal(size=(n, 3, height, width)).astype(np.float32)}


MODELS: Mapping[str, Row] = {
    "BERT": ("BertModel", TEXT, masked),
    "BERT, classifier": ("BertForSequenceClassification", {**TEXT, "num_labels": 3}, masked),
    "ELECTRA": ("ElectraModel", {**TEXT, "embedding_size": 32}, masked),
    "ALBERT": ("AlbertModel", {**TEXT, "embedding_size": 16}, masked),
    "RoBERTa": ("RobertaModel", TEXT, masked),
    "RoBERTa, classifier": ("RobertaForSequenceClassification", TEXT, masked),
    "XLM-R": ("XLMRobertaModel", TEXT, masked),
    "DistilBERT": ("DistilBertModel", BERT_LIKE, masked),
    "MPNet": ("MPNetModel", TEXT, masked),
    "DeBERTa": ("DebertaModel", {**TEXT, **RELATIVE}, masked),
    "DeBERTa-v2": ("DebertaV2Model", {**TEXT, **RELATIVE, **BUCKETS}, masked),
    "CLIP, text": ("CLIPTextModel", {**TEXT, "eos_token_id": WORDS - 1, "bos_token_id": 1}, ended),
    "CLIP, pictures": ("CLIPVisionModel", PICTURE, pictures(32, 32)),
    "ViT": ("ViTForImageClassification", PICTURE, pictures(32, 32)),
    "YOLOS": (
        "YolosForObjectDetection",
        {**PICTURE, "image_size": [32, 48], "num_detection_tokens": 5},
        pictures(32, 48),
    ),
    "ResNet": (
        "ResNetForImageClassification",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
        pictures(32, 32),
    ),
    "GPT-2": ("GPT2LMHeadModel", GPT_LIKE, words),
    "GPT-2, classifier": ("GPT2ForSequenceClassification", {**GPT_LIKE, "pad_token_id": 0}, words),
    "Llama": ("LlamaForCausalLM", {**TEXT, "num_key_value_heads": 2}, words),
    "Gemma": ("GemmaForCausalLM", {**TEXT, "num_key_value_heads": 1, "head_dim": 16}, words),
    "Mixtral": ("MixtralForCausalLM", {**TEXT, "num_key_value_heads": 2, "num_local_experts": 4}, words),
}
HEADER = ("model", "class", "outputs", "same largest output", "cosine", "compile s")


def install(folder: Path) -> None:
    """transformers with what it depends on; where this environment has a package, it is used."""
    if not folder.is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), REQUIREMENT]
        subprocess.run(command, check=True)
    sys.path.append(str(folder))


def measure(name: str) -> tuple[list[str], bool]:
    """A row of the table, and whether all is well."""
    import torch
    import transformers

    kind, said, make = MODELS[name]
    torch.manual_seed(0)
    class_ = getattr(transformers, kind)
    module = class_(class_.config_class(**said)).eval()
    rng = np.random.default_rng(0)
    calibration, held_out = make(rng, CALIBRATION), make(rng, HELD_OUT)
    watch = Stopwatch()
    circuit = zk.compile(module, calibration)
    seconds = watch.processor
    names = [tensor.label for tensor in circuit.program.output_tensors]
    found = circuit.run(dict(held_out), saturate=True)
    with torch.no_grad():
        expected = module(**{key: torch.from_numpy(x) for key, x in held_out.items()})[names[0]].numpy()
    first = (found[0] if isinstance(found, tuple) else found).reshape(expected.shape)
    same = float((first.argmax(axis=-1) == expected.argmax(axis=-1)).mean())
    a, b = expected.ravel().astype(np.float64), first.ravel()
    cosine = float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
    return [kind, ", ".join(names), f"{same:.1%}", f"{cosine:.7f}", f"{seconds:.1f}"], (
        cosine >= MIN_COSINE and (same == 1 or names[0] != "logits")
    )


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", default=["*"], metavar="PATTERN")
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    parser.add_argument("--packages", type=Path, default=PACKAGES, help="where transformers is installed")
    arguments = parser.parse_args()
    chosen = [name for name in MODELS if any(fnmatch.fnmatch(name, pattern) for pattern in arguments.patterns)]
    if not chosen:
        parser.error(f"no model has such a name; there are: {'; '.join(MODELS)}")
    install(arguments.packages)
    warnings.simplefilter("ignore")
    rows, well = [], True
    for name in chosen:
        try:
            row, good = measure(name)
        except Exception as error:  # of one model; the others are measured
            row, good = [type(error).__name__, str(error).splitlines()[0][:200], "", "", ""], False
        rows.append([name, *row])
        well &= good
        print(*rows[-1], sep=" | ", flush=True)
    if arguments.markdown:
        head = provenance("python benchmarks/hugging_face.py")
        arguments.markdown.write_text(f"{head}\n\n{markdown_table(HEADER, rows, left=3)}")
    return int(not well)


if __name__ == "__main__":
    sys.exit(main())
