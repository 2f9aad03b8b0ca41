"""Tokenizers built from files, and the only place that knows the pixel range: images to latents and back.

Shapes: images uint8 (B, 3, H, W), latents (B, C, h, w); only files hold (H, W, 3) (`as_rows`).
Networks see [-1, 1].
"""

import copy
from pathlib import Path

import numpy
import torch
from PIL import Image
from torch import Tensor

from configs.errors import UserError, first_line
from tokenizer.autoencoder import AutoencoderKL, DiagonalGaussian
from tokenizer.weights import WAY_OUT, Checkpoint, digest, infer_config, read_checkpoint
from weight_files.reading import load_strict


def _stretch(image: Image.Image, size: int) -> Image.Image:
    """Resize each axis on its own (Lanczos), so that no part of either axis is lost."""
    return image if image.size == (size, size) else image.resize((size, size), Image.Resampling.LANCZOS)


def _median_border_colour(image: Image.Image) -> tuple[int, int, int]:
    """Colour of the outermost pixels' median by luminance (Rec. 601; the darker of two middles).

    A whole pixel, not a median per channel: the colour is then one of the image's colormap.
    """
    pixels = numpy.asarray(image)
    inner = pixels[1:-1]
    border = numpy.concatenate([pixels[0], pixels[-1], inner[:, 0], inner[:, -1]]).astype(numpy.int64)
    order = numpy.argsort(border @ numpy.array([299, 587, 114]), kind="stable")
    red, green, blue = border[order[(len(order) - 1) // 2]].tolist()
    return red, green, blue


def _pad(image: Image.Image, size: int) -> Image.Image:
    """Long side to `size` (Lanczos), centred on a square of the median border colour."""
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    canvas = Image.new("RGB", (size, size), _median_border_colour(image))
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    canvas.paste(image, ((size - width) // 2, (size - height) // 2))
    return canvas


def _crop(image: Image.Image, size: int) -> Image.Image:
    """ImageNet preprocessing of ADM (arXiv 2105.05233): box halvings, bicubic short side, centre square."""
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    scale = size / min(image.size)
    width, height = round(image.width * scale), round(image.height * scale)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))


GEOMETRIES = {"stretch": _stretch, "pad": _pad, "crop": _crop}


def preprocess(image: Image.Image, size: int = 256, geometry: str = "stretch") -> Tensor:
    """RGB image of any size -> uint8 (3, size, size).

    "stretch" resizes both axes (Lanczos, antialiased; an image already of that size is untouched), "pad"
    keeps the aspect on a square of the median border pixel's colour, "crop" is ADM's centre crop, which cuts
    the long axis.
    """
    return torch.from_numpy(numpy.array(GEOMETRIES[geometry](image, size))).permute(2, 0, 1).contiguous()


def to_float(images: Tensor) -> Tensor:
    """uint8 of any shape -> float32 in [-1, 1]."""
    assert images.dtype == torch.uint8, images.dtype
    return images.float().div_(127.5).sub_(1.0)


def to_uint8(images: Tensor) -> Tensor:
    """Floats of any shape, about [-1, 1] -> uint8: clamp(127.5 x + 128, 0, 255), truncated."""
    scaled = 127.5 * images.float()  # a new tensor: from here on in place
    return scaled.add_(128.0).clamp_(0.0, 255.0).to(torch.uint8)


def as_rows(images: Tensor) -> numpy.ndarray:
    """uint8 (B, 3, H, W) -> (B, H, W, 3), as image files hold them."""
    return images.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _finite(values: Tensor, what: str, precision: str) -> Tensor:
    """`values` as they are; UserError where a network overflowed, which uint8 would hide."""
    if not torch.isfinite(values.sum()) and not torch.isfinite(values).all():  # the sum is read only once
        raise UserError(
            f"tokenizer at precision {precision!r} gave {what} that are not finite: check its "
            "weights and input, or choose precision '32'"
        )
    return values


def build_tokenizer(checkpoint: Checkpoint) -> AutoencoderKL:
    """The checkpoint's autoencoder: evaluation mode, float32, no gradients. UserError if not whole."""
    known = set(AutoencoderKL.CONFIG_KEYS)
    config = checkpoint.config
    if config is not None and (not isinstance(config, dict) or set(config) != known):
        given = sorted(config) if isinstance(config, dict) else config
        text = f"metadata 'config' has {given}, expected the keys {sorted(known)}"
        raise checkpoint.file.refusal(text, "convert the file again")
    try:
        inferred = infer_config(checkpoint.state)
        wrong = [key for key in ("ch_mult", "num_res_blocks") if config and config[key] != inferred[key]]
        if wrong:  # before such an autoencoder is built, which may be of any size
            raise UserError(f"metadata 'config' has another {' and '.join(wrong)} than the weights")
        with torch.device("meta"):  # shapes only: the values come from the file
            model = AutoencoderKL(**(inferred if config is None else config))
    except (ValueError, TypeError, AssertionError, ArithmeticError, RuntimeError) as error:
        raise checkpoint.file.refusal(first_line(error, 120)) from error
    load_strict(model, checkpoint.state, checkpoint.file, "autoencoder", WAY_OUT)
    return model.eval().requires_grad_(False)


def load_tokenizer(path: str | Path) -> AutoencoderKL:
    """Autoencoder of any known file, its architecture from the file: evaluation mode, float32, no gradients.

    FileNotFoundError for a missing file; UserError, in one line, for a folder, a damaged or foreign file, a
    pickle with code, and names or shapes that are not exactly the autoencoder's.
    """
    return build_tokenizer(read_checkpoint(path))


class VAVAE:
    """A frozen tokenizer on one device: uint8 images to posteriors, latents to uint8 images.

    `model` is moved to `device` in place. `precision` "32" or "bf16" is the autocast of the networks; results
    are float32 either way. `digest` names the weights, `image_size` is the side in pixels, `latent_shape` is
    (C, h, w).
    """

    def __init__(
        self, model: AutoencoderKL, device: str | torch.device = "cpu", precision: str = "32"
    ) -> None:
        self.device, self.precision = torch.device(device), precision
        self.digest: str = digest(model)
        self.model = model.eval().requires_grad_(False).to(self.device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.image_size: int = model.config["resolution"]
        side = self.image_size // model.downsampling
        self.latent_shape: tuple[int, int, int] = (model.config["embed_dim"], side, side)

    @classmethod
    def from_file(
        cls, path: str | Path, device: str | torch.device = "cpu", precision: str = "32"
    ) -> "VAVAE":
        """Tokenizer of any weight file that `load_tokenizer` reads; its errors."""
        return cls(load_tokenizer(path), device, precision)

    def at(self, precision: str) -> "VAVAE":
        """This tokenizer in another arithmetic; the weights are shared."""
        other = copy.copy(self)
        other.precision = precision
        return other

    def _autocast(self) -> torch.autocast:
        """The chosen precision, also inside a caller's own autocast."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    @torch.inference_mode()
    def encode(self, images: Tensor) -> DiagonalGaussian:
        """uint8 (B, 3, H, W), sides multiples of the downsampling -> posterior, float32 on the device."""
        assert images.ndim == 4 and images.shape[1] == 3, images.shape
        pixels = to_float(images.to(self.device)).contiguous(memory_format=torch.channels_last)
        with self._autocast():
            posterior = self.model.encode(pixels)
        _finite(posterior.mean, "latents", self.precision)
        return posterior

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, C, h, w), not normalised -> uint8 (B, 3, H, W) on the CPU."""
        assert latents.ndim == 4 and latents.shape[1] == self.latent_shape[0], latents.shape
        z = latents.to(self.device, torch.float32).contiguous(memory_format=torch.channels_last)
        with self._autocast():
            pixels = self.model.decode(z)
        return to_uint8(_finite(pixels, "pixels", self.precision)).contiguous().cpu()
