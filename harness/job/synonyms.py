"""What other code bases call the keys and names of a job file, for the hint of a message; nothing is read by them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from ..errors import did_you_mean

_KEYS: Mapping[str, Iterable[str]] = {
    "learning_rate": ("lr", "learningrate", "step_size", "alpha", "rate"),
    "batch": ("batch_size", "batchsize", "bs", "minibatch"),
    "steps_per_epoch": ("steps", "num_steps", "iterations_per_epoch", "iters", "max_steps"),
    "iterations": ("steps", "num_steps", "iters", "num_iterations"),
    "epoch": ("epochs", "num_epochs", "n_epochs", "max_epochs", "steps_epoch"),
    "epochs": ("epoch", "num_epochs", "n_epochs", "max_epochs"),
    "seed": ("seeds", "random_seed", "random_state", "num_seeds"),
    "seeds": ("seed", "num_seeds", "n_seeds"),
    "trials": ("n_trials", "num_trials", "num_samples", "budget"),
    "sigma": ("sigmas", "noise", "noise_std", "noise_level", "instance_noise", "std", "stddev", "noise_sigma"),
    "sigmas": ("sigma", "noise"),
    "loss": ("losses", "criterion", "gan_mode", "adversarial_loss", "objective"),
    "penalty": ("penalties", "regularizer", "regulariser", "regularization", "reg", "gp", "gradient_penalty", "lambda"),
    "discriminator_steps": ("n_critic", "num_critic", "critic_iters", "n_dis", "d_steps", "disc_steps", "critic_steps"),
    "betas": ("beta1", "beta2", "beta", "beta_1", "b1"),
    "latent": ("z_dim", "nz", "latent_dim", "noise_dim", "z", "latent_size"),
    "width": ("hidden", "hidden_dim", "hidden_size", "units", "ngf", "ndf", "channels"),
    "depth": ("layers", "num_layers", "n_layers", "num_hidden"),
    "problem": ("dataset", "data", "task", "target"),
    "networks": ("network", "model", "models", "arch", "architecture", "net"),
    "training": ("train", "trainer", "training_args"),
    "optimizer": ("optimiser", "opt", "optim"),
    "samples": ("num_samples", "n_samples", "sample_size"),
    "root": ("path", "folder", "dir", "data_dir"),
    "size": ("image_size", "img_size", "resolution"),
    "actors": ("workers", "num_workers", "n_jobs", "num_actors"),
    "gpus_per_actor": ("num_gpus", "gpu", "gpus_per_trial"),
    "cpus_per_actor": ("num_cpus", "cpus", "cpus_per_trial"),
    "start": ("begin", "from", "initial", "init", "high", "max"),
    "end": ("final", "to", "stop", "low", "min"),
    "gamma": ("weight", "lambda", "coefficient"),
    "weight": ("gamma", "lambda", "coefficient", "lambda_gp"),
    "limit": ("clip", "clip_value", "c"),
}
"""By what a key is called here: what others call it. One word may mean several; what is allowed at its place counts."""

_NAMES: Mapping[str, Mapping[str, Iterable[str]]] = {
    "loss": {
        "non_saturating": ("gan", "ns", "nsgan", "ns_gan", "dcgan", "vanilla", "bce", "standard", "cross_entropy"),
        "minimax": ("original", "saturating", "mm", "mmgan", "mm_gan", "minmax"),
        "least_squares": ("lsgan", "ls", "ls_gan", "mse", "l2"),
        "wasserstein": ("wgan", "w", "w1", "emd", "wasserstein_gan"),
        "wasserstein', with 'penalty: [gradient_penalty]": ("wgan_gp", "wgangp", "gp"),
        "hinge": ("hinge_gan", "geometric", "sagan", "biggan"),
        "relativistic": ("rgan", "rsgan", "rpgan"),
        "relativistic_average": ("ragan", "rasgan"),
        "relativistic_average_least_squares": ("ralsgan",),
        "relativistic_average_hinge": ("rahinge", "rahingegan"),
    },
    "penalty": {
        "gradient_penalty": ("gp", "wgan_gp", "wgangp", "1_gp", "one_centred", "lipschitz"),
        "weight_clip": ("clip", "clipping", "weight_clipping", "wgan"),
        "zero_centred": ("0_gp", "zero_gp", "zero_centered", "zero_centered_gp"),
        "r1": ("r1_penalty", "r1_reg", "stylegan"),
        "none": ("no", "null", "false", "off"),
    },
    "problem": {
        "ring": ("gaussians", "8gaussians", "8_gaussians", "mog", "gmm", "mixture", "eight_gaussians"),
        "grid": ("25gaussians", "25_gaussians"),
        "fashion_mnist": ("fashion", "fmnist", "fashionmnist"),
        "cifar10": ("cifar", "cifar_10"),
        "image_folder": ("folder", "images", "imagefolder", "celeba", "lsun"),
        "arrays": ("npy", "numpy", "array", "file"),
    },
    "network": {"mlp": ("fc", "dense", "linear", "fully_connected"), "dcgan": ("cnn", "conv", "convnet", "resnet")},
    "optimizer": {"adam": ("adamw", "amsgrad"), "sgd": ("momentum", "gd")},
    "noise": {"gaussian": ("normal", "gauss"), "truncated": ("truncated_gaussian", "truncated_normal")},
    "schedule": {
        "exponential": ("exp", "geometric", "decay", "log"),
        "constant": ("const", "fixed", "none"),
        "cosine": ("cos", "cosine_annealing"),
        "linear": ("anneal", "annealed", "annealing", "lin"),
    },
    "metric": {
        "frechet_distance": ("fid", "frechet"),
        "kid": ("mmd",),
        "modes": ("mode_coverage", "num_modes", "modes_covered"),
        "high_quality_share": ("high_quality", "hq", "quality"),
        "reverse_kl": ("kl",),
    },
    "sampler": {"tpe": ("bayesian", "bayes", "optuna", "default"), "random": ("uniform",), "cmaes": ("cma", "cma_es")},
    "pruner": {"halving": ("asha", "hyperband", "successive_halving"), "none": ("no", "nop", "off")},
}
"""By kind and by what it is called here: what others call it."""


def key_meant(key: object, valid: Collection[str], grammar: Any) -> str | None:
    """The key that is probably meant: one that is valid at its place; else the dotted place where it belongs.

    Args:
      grammar: The model of the whole, in which it is looked for elsewhere.
    """
    word = _plain(key)
    meant = [name for name, others in _KEYS.items() if word == name or word in others]
    if here := [name for name in meant if name in valid] or difflib.get_close_matches(str(key), valid, n=1):
        return here[0]
    places = [place for name in dict.fromkeys([word, *meant]) for place in _places(name, grammar)]
    # of several the nearest to the top, and those that a job of any protocol has
    return min(places, key=lambda place: (place.startswith(("reference.", "probe.")), place.count(".")), default=None)


def name_hint(kind: str, name: object, valid: Collection[str]) -> str:
    """`` Did you mean '...'?`` of the name of a part, else nothing."""
    word = _plain(name)
    for meant, others in _NAMES.get(kind, {}).items():
        if word in others and meant.split("'")[0] in valid:
            return f" Did you mean '{meant}'?"
    return did_you_mean(word, valid)


def key_hint(key: object, valid: Collection[str]) -> str:
    """`` Did you mean '...'?`` of a parameter of a part, else nothing."""
    word = _plain(key)
    for name, others in _KEYS.items():
        if name in valid and word in others:
            return f" Did you mean '{name}'?"
    return did_you_mean(key, valid)


def _plain(word: object) -> str:
    return str(word).lower().replace("-", "_").replace(" ", "_")


def _places(name: str, grammar: Any) -> Iterator[str]:
    """Where a grammar has a key, dotted."""
    for key, field in grammar.model_fields.items():
        if key == name:
            yield key
        for model in models_in(field.annotation):
            yield from (f"{key}.{place}" for place in _places(name, model))


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """All models an annotation may stand for."""
    arguments = get_args(annotation)
    if arguments:
        return [model for inner in arguments for model in models_in(inner)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []
