"""Transport between noise and data: paths, training losses, solvers, guidance.

Convention, everywhere in this package and for every caller: t = 0 is noise, t = 1 is data, and a velocity is
dx/dt. States are x_t = alpha(t) x1 + sigma(t) x0 with data x1 and noise x0 ~ N(0, 1). The package knows no
network: a model is any callable model(x, t, ...) and a velocity any callable velocity(x, t).
"""

from transport.guidance import Guidance, Midway
from transport.sampler import Sampler
from transport.transport import Transport, create_transport

__all__ = ["Guidance", "Midway", "Sampler", "Transport", "create_transport"]
