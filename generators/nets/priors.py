"""What a latent is drawn from: the priors of the VAE family, their divergences, and what is measured on train."""

from __future__ import annotations

from collections.abc import Mapping
from math import log, prod
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generators.correlated import correlate, white_side

RATE = 10.0
"""How many times as fast as the networks a learned prior moves: its parameters are stored divided by it. Latents
wander by several units while an encoder learns, which Adam at a network's rate would not follow."""
PCA_ROWS = 2048
"""Most images that principal directions are found from."""


def gaussian_kl(
    mean: Tensor, logvar: Tensor, prior_mean: Tensor | float = 0.0, prior_logvar: Tensor | float = 0.0
) -> Tensor:
    """KL(N(mean, exp logvar) || N(prior_mean, exp prior_logvar)) of diagonal Gaussians, summed over the last axis.

    1/2 sum_d [ (exp(logvar_d) + (mean_d - prior_mean_d)^2) / exp(prior_logvar_d) - 1 + prior_logvar_d - logvar_d ]
    """
    spread = torch.as_tensor(prior_logvar, dtype=mean.dtype, device=mean.device)
    ratio = (logvar.exp() + (mean - prior_mean).square()) * (-spread).exp()
    return 0.5 * (ratio - 1.0 + spread - logvar).sum(-1)


def as_vectors(labels: Tensor, n_classes: int) -> Tensor:  # int64 (N,) or uint8 (N, K) -> float32 (N, K)
    """One class an image as one of K; findings that co-occur as they are."""
    return (F.one_hot(labels, n_classes) if labels.ndim == 1 else labels).float()


class Prior(nn.Module):
    """A distribution of latents, given the label or not.

    `noise` of an image is `n_noise` standard normal numbers: first `n_extra` of the prior's own, then white noise that
    becomes a field of unit variance shaped like the latent, spatially correlated where `kernel_width` is above 0.
    """

    n_extra: int = 0

    def __init__(self, latent_shape: tuple[int, ...], *, kernel_width: float = 0.0) -> None:
        super().__init__()
        self.latent_shape, self.kernel_width, self.n_numbers = latent_shape, kernel_width, prod(latent_shape)

    @property
    def n_noise(self) -> int:
        """Numbers that one image's latent is drawn from."""
        if len(self.latent_shape) == 1:
            return self.n_extra + self.n_numbers
        channels, side, _ = self.latent_shape
        return self.n_extra + channels * white_side(side, self.kernel_width) ** 2

    def field(self, noise: Tensor) -> Tensor:  # (N, n_noise) -> (N, n_numbers)
        """The correlated part of the noise, flattened."""
        white = noise[:, self.n_extra :]
        if len(self.latent_shape) > 1:
            channels, side, _ = self.latent_shape
            whole = white_side(side, self.kernel_width)
            white = correlate(white.reshape(-1, channels, whole, whole), self.kernel_width)
        return white.reshape(-1, self.n_numbers)

    def divergence(self, mean: Tensor, logvar: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """Terms of the bound beside the reconstruction, in nats.

        Parameters
        ----------
        mean, logvar : (N, n_numbers).

        Returns
        -------
        float32 (N,) each. "kl" is what is minimised; others are reported.
        """
        raise NotImplementedError

    def draw(self, noise: Tensor, labels: Tensor) -> Tensor:  # (N, n_noise), labels -> (N, *latent_shape)
        """Latents for labels."""
        raise NotImplementedError

    def settle(self, mean: Tensor, logvar: Tensor, labels: Tensor) -> Mapping[str, Any]:
        """Measure on training images, after training, what drawing needs; returns facts.

        Parameters
        ----------
        mean, logvar : float32 (N, n_numbers).
        """
        return {}


class StandardPrior(Prior):
    """N(0, I) in training (Kingma & Welling 2014), drawn from as it is or from a Gaussian fitted after training.

    As it is ("prior"), or from a Gaussian fitted to where the encoder puts training images ("posterior", ex-post
    density estimation, Ghosh 2020):

    z = centre + W y + sum_k a_k B_k + s * field,   a, field standard normal,

    W y the label's shift by least squares (the class means where an image has one class), B the `rank` leading
    principal directions of what is left, s the spread that remains at each number, the encoder's own included.
    """

    centre: Tensor
    shift: Tensor
    basis: Tensor
    spread: Tensor

    def __init__(
        self, latent_shape: tuple[int, ...], *, kernel_width: float, draw_from: Literal["prior", "posterior"],
        rank: int, n_classes: int,
    ) -> None:  # fmt: skip
        super().__init__(latent_shape, kernel_width=kernel_width)
        self.is_fitted, self.n_classes = draw_from == "posterior", n_classes
        self.n_extra = rank if self.is_fitted else 0
        if self.is_fitted:
            self.register_buffer("centre", torch.zeros(self.n_numbers))
            self.register_buffer("shift", torch.zeros(n_classes, self.n_numbers))
            self.register_buffer("basis", torch.zeros(rank, self.n_numbers))
            self.register_buffer("spread", torch.ones(self.n_numbers))

    def divergence(self, mean: Tensor, logvar: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """KL(q(z | x) || N(0, I))."""
        return {"kl": gaussian_kl(mean, logvar)}

    def draw(self, noise: Tensor, labels: Tensor) -> Tensor:  # (N, n_noise), labels -> (N, *latent_shape)
        """Latents for labels."""
        z = self.field(noise)
        if self.is_fitted:
            # row by row: a product of matrices rounds otherwise with another number of rows
            along = (noise[:, : self.n_extra, None] * self.basis).sum(1)
            of_label = (as_vectors(labels, self.n_classes)[:, :, None] * self.shift).sum(1)
            z = self.centre + of_label + along + self.spread * z
        return z.reshape(-1, *self.latent_shape)

    def settle(self, mean: Tensor, logvar: Tensor, labels: Tensor) -> Mapping[str, Any]:
        """Fit the Gaussian; says how many numbers carry something (variance over images above 0.01, Burda 2016)."""
        z = mean.double()
        facts = {"active_units": int((z.var(0, correction=0) > 0.01).sum())}
        if not self.is_fitted:
            return facts
        centre, shift, rest = regress(z, as_vectors(labels, self.n_classes).double())
        basis = principal_directions(rest, self.n_extra)
        left = (rest.square().mean(0) - basis.square().sum(0)).clamp_min(0.0)
        spread = (left + logvar.double().exp().mean(0)).sqrt()
        for ours, found in zip((self.centre, self.shift, self.basis, self.spread), (centre, shift, basis, spread),
                               strict=True):  # fmt: skip
            ours.copy_(found)
        return facts


def regress(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fit z = centre + y @ shift + rest by least squares, a hair of ridge for labels that determine each other."""
    at = y.mean(0)
    centred = y - at
    gram = centred.T @ centred + 1e-6 * len(y) * torch.eye(y.shape[1], dtype=y.dtype, device=y.device)
    shift = torch.linalg.solve(gram, centred.T @ (z - z.mean(0)))
    centre = z.mean(0) - at @ shift
    return centre, shift, z - centre - y @ shift


def principal_directions(rest: Tensor, rank: int) -> Tensor:  # float64 (N, D) -> (rank, D)
    """The leading principal directions of centred rows, each as long as its standard deviation.

    Zeros where there are fewer. Found from at most PCA_ROWS rows, evenly spaced.
    """
    n, d = rest.shape
    if n > PCA_ROWS:
        rest = rest[torch.linspace(0, n - 1, PCA_ROWS, device=rest.device).long()]
        n = PCA_ROWS
    basis = rest.new_zeros(rank, d)
    k = min(rank, n, d)
    if not k:
        return basis
    if n < d:
        _, vectors = torch.linalg.eigh(rest @ rest.T / n)
        basis[:k] = vectors[:, -k:].T @ rest / n**0.5
    else:
        values, vectors = torch.linalg.eigh(rest.T @ rest / n)
        basis[:k] = (vectors[:, -k:] * values[-k:].clamp_min(0.0).sqrt()).T
    return basis


class MixturePrior(Prior):
    """K Gaussians, p(c) = 1 / K in training: `generators/gmvae.py` has the bound.

    Parameters
    ----------
    context : numbers of w ~ N(0, I), from which a network makes the Gaussians' means and variances; 0 for fixed ones.
    free_bits : floor of the mean KL(q(c | x) || p(c)) of a batch, in nats.
    rounds : of EM after training; without context alone.
    """

    shares: Tensor
    log_present: Tensor

    def __init__(
        self, latent_shape: tuple[int, ...], *, kernel_width: float, n_components: int, context: int, hidden: int,
        free_bits: float, rounds: int, n_classes: int, multilabel: bool,
    ) -> None:  # fmt: skip
        super().__init__(latent_shape, kernel_width=kernel_width)
        self.n_components, self.context, self.free_bits = n_components, context, free_bits
        self.n_classes, self.multilabel, self.rounds = n_classes, multilabel, rounds
        self.n_extra = 1 + context
        # of one length, so that no component is nearer to all images than the others before anything is learned
        begin = F.normalize(torch.randn(n_components, self.n_numbers), dim=1) * self.n_numbers**0.5 / 2
        self.mean, self.logvar = nn.Parameter(begin / RATE), nn.Parameter(torch.zeros_like(begin))
        if context:
            self.recognise = nn.Linear(2 * self.n_numbers, 2 * context)
            last = nn.Linear(hidden, n_components * 2 * self.n_numbers, bias=False)
            nn.init.zeros_(last.weight)
            self.style = nn.Sequential(nn.Linear(context, hidden), nn.Tanh(), last)
        self.register_buffer("shares", torch.full((n_components,), 1.0 / n_components))
        self.register_buffer("log_present", torch.zeros(2, n_components, n_classes))

    def gaussians(self, w: Tensor | None) -> tuple[Tensor, Tensor]:
        """Means and log-variances of p(z | w, c): (N or 1, K, n_numbers)."""
        mean, logvar = RATE * self.mean[None], RATE * self.logvar[None]
        if w is not None:
            of_style = self.style(w).reshape(-1, self.n_components, 2, self.n_numbers)
            mean, logvar = mean + of_style[:, :, 0], logvar + of_style[:, :, 1]
        return mean, logvar.clamp(-12.0, 8.0)

    def assign(self, mean: Tensor, logvar: Tensor, w: Tensor | None) -> tuple[Tensor, Tensor]:
        """The log of q(c | x, w), and KL(q(z | x) || p(z | w, c)) for every c: (N, K) each."""
        kl = gaussian_kl(mean[:, None], logvar[:, None], *self.gaussians(w))
        return torch.log_softmax(-kl, dim=1), kl

    def divergence(self, mean: Tensor, logvar: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """The three divergences of the bound, the last one with its floor."""
        w, of_style = None, mean.new_zeros(len(mean))
        if self.context:
            w_mean, w_logvar = self._style_of(mean, logvar)
            w = w_mean + (0.5 * w_logvar).exp() * torch.randn_like(w_mean)
            of_style = gaussian_kl(w_mean, w_logvar)
        log_q, kl = self.assign(mean, logvar, w)
        q = log_q.exp()
        of_latent = (q * kl).sum(1)
        of_component = (q * (log_q + log(self.n_components))).sum(1)
        kept = of_component.mean().clamp_min(self.free_bits) if self.free_bits else of_component
        return {"kl": of_latent + of_style + kept, "component_kl": of_component}

    def _style_of(self, mean: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
        w_mean, w_logvar = self.recognise(torch.cat([mean, logvar], dim=1)).chunk(2, dim=1)
        return w_mean, w_logvar.clamp(-12.0, 8.0)

    def weights(self, labels: Tensor) -> Tensor:  # -> (N, K), rows sum to 1
        """p(c | y), proportional to p(c) prod_k p(y_k | c) as measured on train."""
        y = as_vectors(labels, self.n_classes)[:, None]
        evidence = y * self.log_present[1]
        if self.multilabel:
            evidence = evidence + (1 - y) * self.log_present[0]
        return torch.softmax(self.shares.clamp_min(1e-12).log() + evidence.sum(-1), dim=1)

    def draw(self, noise: Tensor, labels: Tensor) -> Tensor:  # (N, n_noise), labels -> (N, *latent_shape)
        """A component for the label, then a latent from it."""
        position = torch.special.ndtr(noise[:, :1])
        chosen = (position > self.weights(labels).cumsum(1)).sum(1).clamp_max(self.n_components - 1)
        rows = torch.arange(len(noise), device=noise.device)
        mean, logvar = self.gaussians(noise[:, 1 : self.n_extra] if self.context else None)
        if not self.context:
            rows = torch.zeros_like(rows)
        z = mean[rows, chosen] + (0.5 * logvar[rows, chosen]).exp() * self.field(noise)
        return z.reshape(-1, *self.latent_shape)

    def settle(self, mean: Tensor, logvar: Tensor, labels: Tensor) -> Mapping[str, Any]:
        """Bring the Gaussians to where the bound on these images is highest, then measure p(c) and p(y_k | c).

        Each is measured with one image's worth of smoothing; reports how components are used.
        """
        learned = self._assignments(mean, logvar)
        facts = {"learned_effective_components": effective(learned.mean(0))}
        if self.rounds and not self.context:
            facts["kl_gained"] = round(self._close(mean, logvar), 3)
        q = self._assignments(mean, logvar)
        y = as_vectors(labels, self.n_classes).double()
        used = q.sum(0)
        n_ways = 2 if self.multilabel else self.n_classes
        present = (q.T @ y + 1 / n_ways) / (used[:, None] + 1)
        absent = (q.T @ (1 - y) + 1 / n_ways) / (used[:, None] + 1)
        self.log_present.copy_(torch.stack([absent, present]).log())
        self.shares.copy_(used / used.sum())
        return facts | {
            "component_shares": [round(float(s), 4) for s in self.shares],
            "effective_components": effective(used / used.sum()),
            "assignment_entropy": round(float(-torch.xlogy(q, q).sum(1).mean()), 4),
        }

    def _assignments(self, mean: Tensor, logvar: Tensor) -> Tensor:  # -> float64 (N, K)
        parts = zip(torch.split(mean, 256), torch.split(logvar, 256), strict=True)
        return torch.cat([
            self.assign(m, v, self._style_of(m, v)[0] if self.context else None)[0].exp().double() for m, v in parts
        ])  # fmt: skip

    def _divergence_of(self, mean: Tensor, logvar: Tensor) -> float:
        """Mean of -log sum_c exp(-KL_c) / K: what the latent and the component cost together, in nats."""
        parts = zip(torch.split(mean, 256), torch.split(logvar, 256), strict=True)
        cost = [-torch.logsumexp(-self.assign(m, v, None)[1], dim=1) + log(self.n_components) for m, v in parts]
        return float(torch.cat(cost).mean())

    def _close(self, mean: Tensor, logvar: Tensor) -> float:
        """Rounds of EM on the bound, encoder and decoder as they are, begun at the k-means of the images' means.

        What the optimiser had learned is kept where that is better. Returns the nats gained.
        """
        from sklearn.cluster import KMeans

        before, learned = self._divergence_of(mean, logvar), (self.mean.clone(), self.logvar.clone())
        n_clusters = min(self.n_components, len(mean))
        begin = KMeans(n_clusters, n_init=1, random_state=0).fit(mean.numpy()).labels_
        q = F.one_hot(torch.from_numpy(begin).long(), self.n_components).double()
        spread = mean.double().square() + logvar.double().exp()
        for _ in range(self.rounds):
            weight = q.sum(0)[:, None]
            centre = q.T @ mean.double() / weight.clamp_min(1e-9)
            variance = (q.T @ spread / weight.clamp_min(1e-9) - centre.square()).clamp_min(1e-5)
            alive = weight > 1e-6
            self.mean.copy_(torch.where(alive, centre / RATE, self.mean))
            self.logvar.copy_(torch.where(alive, variance.log() / RATE, self.logvar))
            q = self._assignments(mean, logvar)
        gained = before - self._divergence_of(mean, logvar)
        if gained < 0:
            self.mean.copy_(learned[0])
            self.logvar.copy_(learned[1])
        return max(gained, 0.0)


def effective(shares: Tensor) -> float:
    """The exp of the entropy of shares: how many equal ones they are worth."""
    return round(float(torch.exp(-torch.xlogy(shares, shares).sum())), 3)


class LabelPrior(Prior):
    """p(z | y) = N(mu(y), diag sigma^2(y)), mu and log sigma^2 affine in the label's vector.

    A Gaussian of its own for every class, or a mean that sums what each finding adds.
    """

    def __init__(self, latent_shape: tuple[int, ...], *, kernel_width: float, n_classes: int) -> None:
        super().__init__(latent_shape, kernel_width=kernel_width)
        self.n_classes = n_classes
        self.base = nn.Parameter(torch.zeros(2, self.n_numbers))
        self.table = nn.Parameter(torch.zeros(n_classes, 2, self.n_numbers))

    def gaussian(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """mu(y) and log sigma^2(y): (N, n_numbers) each."""
        # row by row: a product of matrices rounds otherwise with another number of rows
        found = RATE * (self.base + (as_vectors(labels, self.n_classes)[:, :, None, None] * self.table).sum(1))
        return found[:, 0], found[:, 1].clamp(-12.0, 8.0)

    def divergence(self, mean: Tensor, logvar: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """KL(q(z | x) || p(z | y))."""
        return {"kl": gaussian_kl(mean, logvar, *self.gaussian(labels))}

    def draw(self, noise: Tensor, labels: Tensor) -> Tensor:  # (N, n_noise), labels -> (N, *latent_shape)
        """Latents from p(z | y)."""
        mean, logvar = self.gaussian(labels)
        return (mean + (0.5 * logvar).exp() * self.field(noise)).reshape(-1, *self.latent_shape)

    def settle(self, mean: Tensor, logvar: Tensor, labels: Tensor) -> Mapping[str, Any]:
        """Nothing to measure; reports how far a finding moves the mean, in standard deviations, on average."""
        scaled = RATE * self.table[:, 0] * (-0.5 * RATE * self.base[1]).exp()
        return {"label_shift": round(float((scaled - scaled.mean(0) * (labels.ndim == 1)).norm(dim=1).mean()), 4)}
