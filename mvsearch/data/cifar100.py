"""CIFAR-100: 60,000 colour photographs, 32 px, a hundred fine classes; from the archive that its authors offer."""

from mvsearch.data._cifar import Cifar, Form

CIFAR = Cifar(
    "cifar100",
    (
        Form(
            archive="cifar-100-python.tar.gz",
            md5="eb9058c3a382ffc7106e4002c42a8d85",
            folder="cifar-100-python",
            train=("train",),
            test="test",
            names="meta",
            names_key=b"fine_label_names",
            labels_key=b"fine_labels",
        ),
        Form(
            archive="cifar-100-binary.tar.gz",
            md5="03b5dce01913d631647c71ecec9e9cb8",
            folder="cifar-100-binary",
            train=("train.bin",),
            test="test.bin",
            names="fine_label_names.txt",
            label_bytes=2,
        ),
    ),
)

DATA_SOURCE = CIFAR.source(100)
