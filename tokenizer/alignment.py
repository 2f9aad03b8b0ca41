"""Latents aligned with a teacher's features: VA-VAE's vision-foundation loss (arXiv 2501.01423, section 3).

The teacher, a timm vision transformer from a local file, gives features (B, C, h, w) for images. The caller
projects latents to C channels (a 1x1 convolution).
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from configs.errors import UserError, first_line
from weight_files.reading import WeightFile, load_strict

MAX_WEIGHT = 1e4  # where the auxiliary gradient vanishes, the ratio says nothing


def alignment_loss(
    projected: Tensor, teacher: Tensor, cos_margin: float = 0.5, distmat_margin: float = 0.25
) -> dict[str, Tensor]:
    """Scalars "cos" (marginal cosine similarity) and "distmat" (marginal distance matrix similarity).

    projected (B, C, h, w); teacher (B, C, any, any), resampled to h x w. With unit vectors z_i, f_i of each
    image's N positions: cos = mean_i relu(1 - cos_margin - z_i.f_i), and
    distmat = mean_ij relu(|z_i.z_j - f_i.f_j| - distmat_margin).
    """
    assert projected.shape[:2] == teacher.shape[:2], (projected.shape, teacher.shape)
    if teacher.shape[2:] != projected.shape[2:]:
        teacher = F.interpolate(teacher, projected.shape[2:], mode="bilinear", antialias=True)
    z, f = (F.normalize(features.float().flatten(2), dim=1) for features in (projected, teacher.detach()))
    cosine = (z * f).sum(1)
    difference = z.transpose(1, 2) @ z - f.transpose(1, 2) @ f
    return {
        "cos": F.relu(1.0 - cos_margin - cosine).mean(),
        "distmat": F.relu(difference.abs() - distmat_margin).mean(),
    }


def adaptive_weight(
    main_loss: Tensor, aux_loss: Tensor, last_parameter: Tensor, scale: Tensor | float = 1.0
) -> Tensor:
    """Gradient norm of the main loss over that of the auxiliary one at `last_parameter`: a detached scalar.

    Both losses must depend on the parameter; their graphs stay. At most 1e4; 0 where a norm is not finite.
    The main gradient is taken at `scale`, that of a loss scaler: fp16 takes the gradient of a mean over all
    pixel values for zero. The auxiliary loss, a mean over few positions, needs none.
    """
    main, aux = (
        torch.autograd.grad(loss, last_parameter, retain_graph=True)[0].float().norm()
        for loss in (main_loss * scale, aux_loss)
    )
    ratio = main / scale / (aux + 1e-8)
    return ratio.nan_to_num(nan=0.0, posinf=0.0).clamp(max=MAX_WEIGHT).detach()


class FoundationTeacher(nn.Module):
    """A frozen timm vision transformer as a teacher: images (B, 3, H, W) in [-1, 1] -> (B, C, side, side).

    Images are resized (bicubic) so that one patch is one latent position, and normalised as the model's own
    description says (ImageNet's mean and deviation for DINOv2).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Any) -> None:  # timm's VisionTransformer; timm is optional
        super().__init__()
        self.model: Any = model.requires_grad_(False)
        self.channels: int = model.num_features
        for name in ("mean", "std"):
            values = torch.tensor(model.pretrained_cfg[name]).reshape(1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)
        self.eval()

    @torch.no_grad()
    def forward(self, images: Tensor, side: int = 16) -> Tensor:
        size = side * self.model.patch_embed.patch_size[0]
        resized = F.interpolate(images.float(), (size, size), mode="bicubic", antialias=True)
        normalised = ((resized + 1.0) / 2.0 - self.mean) / self.std
        tokens = self.model.forward_features(normalised)[:, self.model.num_prefix_tokens :]
        return tokens.transpose(1, 2).unflatten(2, (side, side))


def load_teacher(name: str, path: str | Path) -> FoundationTeacher:
    """timm's vision transformer `name` with weights from a local .safetensors or torch file; no network.

    UserError or FileNotFoundError, in one line, where timm or the file is missing, the name is not a vision
    transformer's, or the file does not hold exactly that model's weights.
    """
    file = WeightFile(Path(path), f"file of weights of {name}", "give that model's own file")
    state = file.state()
    try:
        import timm  # here, because only this loss needs it
    except ImportError as error:
        raise UserError(f"foundation model {name}: timm is not installed; pip install timm") from error
    try:
        model = timm.create_model(name, pretrained=False, dynamic_img_size=True)
    except (RuntimeError, TypeError) as error:
        raise UserError(
            f"foundation model {name}: not a vision transformer of timm ({first_line(error, 120)}); "
            "choose one such as vit_small_patch14_dinov2.lvd142m"
        ) from error
    load_strict(model, state, file, f"foundation model {name}", file.way_out)
    return FoundationTeacher(model)
