"""Problems with a fixed data set."""

from __future__ import annotations

import abc
import hashlib
import io
import os
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from .problem import DataSet, Problem, ProblemInfo

if TYPE_CHECKING:
    from ...problems.sources import FloatArray, IntArray, Samples

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def image_files(folder: str) -> list[Path]:
    """All images below a folder, sorted by name."""
    return sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)


class Digits(DataSet):
    """scikit-learn's 1,797 images of 8x8 digits, scaled to [-1, 1]; needs no download"""

    num_classes: ClassVar[int] = 10

    name: Literal["digits"] = "digits"

    def find_info(self) -> ProblemInfo:
        return self.split_info((1, 8, 8), 1797)

    def samples(self) -> FloatArray:
        from ...problems import images

        return images.digits()

    def labels(self) -> IntArray:
        from ...problems import images

        return images.digit_labels()


def _is_file(path: str | Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - unlike pathlib's, it knows no error but False


def existing_file(path: str) -> str:
    """The path, of which there must be a file."""
    if not _is_file(path):
        raise ValueError(f"no such file: '{path}' (relative paths start at the current folder)")
    return path


def _existing_folder(path: str) -> str:
    if not os.path.isdir(path):  # noqa: PTH112
        raise ValueError(f"no such folder: '{path}' (relative paths start at the current folder)")
    return path


class Arrays(DataSet):
    """A .npy file of shape [n, ...]; sample shape [c, h, w] makes it an image problem"""

    name: Literal["arrays"] = "arrays"
    path: Annotated[str, AfterValidator(existing_file)]

    @model_validator(mode="after")
    def _readable(self) -> Arrays:
        self.info()
        return self

    def find_info(self) -> ProblemInfo:
        import numpy as np

        try:
            array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"'{self.path}' is not a readable .npy file: {error}") from error
        if not isinstance(array, np.ndarray):
            raise ValueError(f"'{self.path}' holds several arrays; needed: one array, as numpy.save writes it")
        if array.ndim < 2 or len(array) < 8 or array.size == 0:
            raise ValueError(f"'{self.path}' has shape {list(array.shape)}; needed: [n, ...] with n >= 8")
        if array.dtype.kind not in "fiu":
            raise ValueError(f"'{self.path}' holds {array.dtype}; needed: real numbers")
        return self.split_info(array.shape[1:], len(array))

    def samples(self) -> FloatArray:
        import numpy as np

        samples: FloatArray = np.load(self.path, allow_pickle=False).astype(np.float32)
        return samples

    def identity(self) -> dict[str, Any]:
        with Path(self.path).open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        return {"name": self.name, "held_out": self.held_out, "content": content}


class TorchvisionImages(Problem):
    """Base of torchvision's data sets: their training split trains, their test split is held out.

    `root` is torchvision's root, or a folder that holds the data set's files themselves (.gz or not), as
    Debian's ``dataset-fashion-mnist`` lays them out.
    """

    num_classes: ClassVar[int] = 10

    root: str
    download: bool = False
    size: int | None = Field(None, ge=4, le=512)

    @model_validator(mode="after")
    def _present(self) -> TorchvisionImages:
        if not self.download and self.files() is None:
            raise ValueError(
                f"root '{self.root}' has no {type(self).__name__} files; point root to the folder that holds "
                f"{self.needed()[0]} (or torchvision's layout of it), or set download: true"
            )
        return self

    @abc.abstractmethod
    def needed(self) -> tuple[str, ...]:
        """Names of the files the data set consists of."""

    @abc.abstractmethod
    def files(self) -> list[Path] | None:
        """The data set's files under root, gzipped or not; None if any is missing."""

    def identity(self) -> dict[str, Any]:
        files = None if self.download else self.files()  # what is downloaded is the published data set
        content = [_uncompressed_checksum(path) for path in files or ()]
        return {**self.model_dump(mode="json", exclude={"root", "download"}), "content": content}

    def load(self) -> Samples | None:
        from ...problems import images

        name = type(self).__name__
        return images.torchvision_samples(
            name, root=self.root, download=self.download, loose=self.loose_files() or (), size=self.size
        )

    def loose_files(self) -> list[Path] | None:
        """The files where they are not laid out as torchvision wants them; None if they are."""
        return self.files()


class _IdxImages(TorchvisionImages):
    """MNIST and its relatives: 70,000 grey images of 28x28 in four idx files."""

    def find_info(self) -> ProblemInfo:
        size = self.size or 28
        return ProblemInfo((1, size, size), *self._counts())

    def needed(self) -> tuple[str, ...]:
        return tuple(f"{split}-{kind}-ubyte" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))

    def files(self) -> list[Path] | None:
        for folder in (Path(self.root), Path(self.root) / type(self).__name__ / "raw"):
            candidates = [
                next((p for p in (folder / name, folder / f"{name}.gz") if _is_file(p)), None) for name in self.needed()
            ]
            if all(candidates):
                return [path for path in candidates if path is not None]
        return None

    def _counts(self) -> tuple[int, int]:
        files = self.files()
        if files is None:  # to be downloaded
            return 60_000, 10_000
        return _idx_length(files[0]), _idx_length(files[2])


def _uncompressed_checksum(path: Path) -> list[int]:
    """CRC-32 and size of a file's content, whether or not it is gzipped (the format ends with both)."""
    with path.open("rb") as file:
        if path.suffix == ".gz":
            file.seek(-8, io.SEEK_END)
            return list(struct.unpack("<II", file.read(8)))
        content = file.read()
    return [zlib.crc32(content), len(content)]


def _idx_length(path: Path) -> int:
    """Number of items of an idx file, from its header."""
    import gzip

    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            return int(struct.unpack(">II", file.read(8))[1])
    except (OSError, struct.error, EOFError) as error:
        raise ValueError(f"'{path}' is not an idx file: {error}") from error


class MNIST(_IdxImages):
    """MNIST by torchvision"""

    name: Literal["mnist"] = "mnist"


class FashionMNIST(_IdxImages):
    """Fashion-MNIST by torchvision"""

    name: Literal["fashion_mnist"] = "fashion_mnist"


class CIFAR10(TorchvisionImages):
    """CIFAR-10 by torchvision: 60,000 colour images of 32x32"""

    name: Literal["cifar10"] = "cifar10"

    def find_info(self) -> ProblemInfo:
        size = self.size or 32
        return ProblemInfo((3, size, size), 50_000, 10_000)

    def needed(self) -> tuple[str, ...]:
        return ("cifar-10-batches-py",)

    def files(self) -> list[Path] | None:
        folder = Path(self.root) / "cifar-10-batches-py"
        files = [folder / name for name in (*(f"data_batch_{index}" for index in range(1, 6)), "test_batch")]
        return files if all(_is_file(path) for path in files) else None

    def loose_files(self) -> None:
        return


class ImageFolder(DataSet):
    """All images below a folder, of one size or resized to `size`, scaled to [-1, 1]"""

    name: Literal["image_folder"] = "image_folder"
    root: Annotated[str, AfterValidator(_existing_folder)]
    size: int | None = Field(None, ge=4, le=512)
    channels: Literal[1, 3] = 3

    @model_validator(mode="after")
    def _readable(self) -> ImageFolder:
        self.info()
        return self

    def paths(self) -> list[Path]:
        """The image files, sorted by name."""
        return image_files(self.root)

    def find_info(self) -> ProblemInfo:
        from PIL import Image, UnidentifiedImageError

        paths = self.paths()
        if len(paths) < 8:
            raise ValueError(f"'{self.root}' has {len(paths)} images; needed: at least 8 ({', '.join(IMAGE_SUFFIXES)})")
        if self.size is not None:
            height = width = self.size
        else:
            try:
                with Image.open(paths[0]) as image:
                    width, height = image.size
            except (UnidentifiedImageError, OSError) as error:
                raise ValueError(f"'{paths[0]}' is not a readable image: {error}") from error
        return self.split_info((self.channels, height, width), len(paths))

    def samples(self) -> FloatArray:
        from ...problems import images

        return images.folder(self.paths(), size=self.size, channels=self.channels)

    def identity(self) -> dict[str, Any]:
        listing = [[str(path.relative_to(self.root)), zlib.crc32(path.read_bytes())] for path in self.paths()]
        return {**self.model_dump(mode="json", exclude={"root"}), "listing": listing}
