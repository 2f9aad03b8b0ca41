"""Transport: a path, what the model predicts, and how it is trained."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from transport import losses
from transport.names import require_known
from transport.paths import PATHS, Path
from transport.timesteps import logit_normal_times, time_interval, uniform_times


@dataclass(eq=False)
class Transport:
    """Training losses of a model along a path, and the velocity that the model implies.

    `train_interval` and `sample_interval` are the ends (t0, t1) of the times used. Made by
    `create_transport`.
    """

    path: Path
    prediction: str
    loss_weight: str | None
    train_interval: tuple[float, float]
    sample_interval: tuple[float, float]
    use_cosine_loss: bool
    use_lognorm: bool
    lognorm_loc: float

    def draw_times(self, num: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw (num,) float32 training times on the generator's device (CPU without one)."""
        if self.use_lognorm:
            return logit_normal_times(num, self.train_interval, self.lognorm_loc, generator=generator)
        return uniform_times(num, self.train_interval, generator=generator)

    def training_losses(
        self,
        model: Callable[..., Tensor],
        x1: Tensor,
        model_kwargs: dict | None = None,
        *,
        x0: Tensor | None = None,
        t: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Losses of model(x_t, t, **model_kwargs) on data x1 (N, C, ...), computed in float32 at least.

        Noise x0 (like x1) and times t (N,) are drawn unless given. Returns "loss" (N,), "t" (N,) for binning,
        and "cos_loss" (N,) for velocity models with the cosine term; the training loss is mean(loss) +
        mean(cos_loss).
        """
        x1 = x1.to(torch.promote_types(x1.dtype, torch.float32))
        t = self.draw_times(len(x1)) if t is None else t
        x0 = torch.randn_like(x1) if x0 is None else x0
        t, x0 = t.to(x1), x0.to(x1)
        assert t.shape == x1.shape[:1], f"t must be ({len(x1)},), got {tuple(t.shape)}"
        assert x0.shape == x1.shape, f"x0 must be {tuple(x1.shape)}, got {tuple(x0.shape)}"
        output = model(self.path.interpolate(x0, x1, t), t, **(model_kwargs or {})).to(x1.dtype)
        assert output.shape == x1.shape, f"the model must return {tuple(x1.shape)}, got {tuple(output.shape)}"
        return {**self._losses(output, x0, x1, t), "t": t}

    def _losses(self, output: Tensor, x0: Tensor, x1: Tensor, t: Tensor) -> dict[str, Tensor]:
        if self.prediction == "noise":
            return {"loss": losses.noise_loss(self.path, self.loss_weight, output, x0, t)}
        if self.prediction == "score":
            return {"loss": losses.score_loss(self.path, self.loss_weight, output, x0, t)}
        target = self.path.target(x0, x1, t)
        terms = {"loss": losses.velocity_loss(output, target)}
        if self.use_cosine_loss:
            terms["cos_loss"] = losses.cosine_loss(output, target)
        return terms

    def velocity(self, model: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Velocity callable (x, t, *args, **kwargs) -> dx/dt of a model of this transport's prediction.

        t may be a Python number, a scalar tensor or (N,); the model always receives (N,) float32. To guide,
        wrap the result: Guidance(transport.velocity(model), ...).
        """

        def velocity(x: Tensor, t: float | Tensor, *args, **kwargs) -> Tensor:
            times = times_per_sample(t, x)
            output = model(x, times, *args, **kwargs)
            if self.prediction == "velocity":
                return output
            output = output.to(x.dtype)
            # A scalar time in float64 costs nothing and keeps the digits of 1 - t.
            exact = torch.tensor(t, dtype=torch.float64) if isinstance(t, (int, float)) else times.to(x.dtype)
            if self.prediction == "noise":
                return self.path.velocity_from_noise(output, x, exact)
            return self.path.velocity_from_score(output, x, exact)

        return velocity


def times_per_sample(t: float | Tensor, x: Tensor) -> Tensor:
    """Expand a time to (N,) on x's device, float32 (float64 for a float64 state), as models expect it."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    if isinstance(t, Tensor):
        return t.to(x.device, dtype).expand(len(x))
    return torch.full((len(x),), t, device=x.device, dtype=dtype)


def create_transport(
    path_type: str = "Linear",
    prediction: str = "velocity",
    loss_weight: str | None = None,
    train_eps: float | None = None,
    sample_eps: float | None = None,
    use_cosine_loss: bool = True,
    use_lognorm: bool = True,
    lognorm_loc: float = 0.0,
) -> Transport:
    """Make a Transport from names.

    `path_type`: Linear, GVP or VP. `prediction`: velocity, noise or score. `loss_weight`: None, "velocity" or
    "likelihood", for noise and score models; velocity losses carry no weight. `train_eps`, `sample_eps`: see
    `timesteps.time_interval`. `use_cosine_loss` adds the cosine term for velocity models; `use_lognorm` draws
    logit-normal times, sigmoid(lognorm_loc + n), instead of uniform ones. Raises UserError for a name or
    value that is not known.
    """
    require_known("path_type", path_type, PATHS)
    require_known("prediction", prediction, losses.PREDICTIONS)
    require_known("loss_weight", loss_weight, losses.LOSS_WEIGHTS)
    train_interval = time_interval(path_type, prediction, train_eps)
    sample_interval = time_interval(path_type, prediction, sample_eps, sampling=True)
    return Transport(
        PATHS[path_type](),
        prediction,
        loss_weight,
        train_interval,
        sample_interval,
        use_cosine_loss,
        use_lognorm,
        lognorm_loc,
    )
