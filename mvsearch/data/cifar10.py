"""CIFAR-10: 60,000 colour photographs, 32 px, ten classes; from the archive that its authors offer."""

from mvsearch.data._cifar import Cifar, Form

CIFAR = Cifar(
    "cifar10",
    (
        Form(
            archive="cifar-10-python.tar.gz",
            md5="c58f30108f718f92721af3b95e74349a",
            folder="cifar-10-batches-py",
            train=tuple(f"data_batch_{i}" for i in range(1, 6)),
            test="test_batch",
            names="batches.meta",
            names_key=b"label_names",
            labels_key=b"labels",
        ),
        Form(
            archive="cifar-10-binary.tar.gz",
            md5="c32a1d4ab5d03f1284b67883e8d87530",
            folder="cifar-10-batches-bin",
            train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
            test="test_batch.bin",
            names="batches.meta.txt",
            label_bytes=1,
        ),
    ),
)

DATA_SOURCE = CIFAR.source(10)
