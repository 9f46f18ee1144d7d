"""The bound of the likelihood of binary images."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from hvrt_diffuser.autoencoders import Architecture, ConvolutionalAutoencoder, negative_elbo
from hvrt_diffuser.data.binary import binary_images
from hvrt_diffuser.data.images import LabelledImages

CPU = torch.device("cpu")


def test_the_bound_of_a_vae_is_that_of_torch(digits: LabelledImages) -> None:
    torch.manual_seed(0)
    model = ConvolutionalAutoencoder(Architecture((1, 28, 28), 4, 4, 2, variational=True)).eval()
    images = digits.images[::50]
    x = binary_images(images)
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(x, binary_images(images))
    with torch.no_grad():
        mean, log_variance = model.encode(images.float() / 255)  # what it was trained on
        assert log_variance is not None
        posterior = Normal(mean, (log_variance / 2).exp())
        divergence = kl_divergence(posterior, Normal(0.0, 1.0)).sum(1)
        terms = []
        for _ in range(20):
            decoded = Bernoulli(logits=model.decode(posterior.sample()))
            terms.append(divergence - decoded.log_prob(x).flatten(1).sum(1))
        expected = torch.stack(terms).mean().item()
    found = negative_elbo(model, images, seed=0, device=CPU)
    assert found == pytest.approx(expected, rel=0.01)
    assert negative_elbo(model, images.expand(-1, 3, -1, -1), seed=0, device=CPU) is None
