"""timm's image encoders: what a name, a weight file and a folder mean, and that images are seen as timm sees them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from tests.worlds.image_models import MODEL, write_weights
from tests.worlds.pictures import picture
from xmap.stages.config import EncoderConfig
from xmap.stages.encoder.found import image_config
from xmap.stages.encoder.identity import EncoderIdentity, resolve
from xmap.stages.encoder.model import Encoder
from xmap.stages.encoder.names import named_also
from xmap.stages.images.crop import plain_crop
from xmap.stages.images.views import normalised
from xmap.store.errors import InputError
from xmap.store.memory.notes import Notes


def identified(model: str, records: Path | None = None) -> EncoderIdentity:
    return resolve(EncoderConfig.model_validate(named_also(model)), Notes(None), records)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("timm") / "vit.safetensors")


def test_it_sees_what_timm_sees(weights: Path) -> None:
    """Crop, numbers and features are those of timm's own transform and model, bit for bit."""
    encoder = Encoder.load(identified(f"timm:{MODEL}={weights}"), "cpu")
    torch.manual_seed(1)
    model = timm.create_model(MODEL, pretrained=False)
    model.reset_classifier(0)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    for number, size in enumerate(((300, 200), (161, 400), (170, 170))):
        image = picture(number, size)
        pixels = normalised(np.array(plain_crop(encoder.identity.preprocess)(image))[None], encoder.identity.preprocess)
        assert torch.equal(pixels[0], transform(image))
        with torch.inference_mode():
            wanted = model.eval()(pixels)
        assert np.array_equal(encoder.encode_images(pixels), wanted.numpy())
    assert (encoder.identity.width, encoder.logit_scale, encoder.identity.has_texts) == (64, None, False)


def test_weights_and_config_identify_it_and_no_name_does(weights: Path, tmp_path: Path) -> None:
    one, other = identified(f"timm:{MODEL}={weights}"), identified(f"timm:{MODEL}={write_weights(tmp_path / 'o.safetensors', 2)}")
    assert {name for name in one.fields if one.fields[name] != other.fields[name]} == {"weights"}
    folder = tmp_path / "any name"
    folder.mkdir()
    (folder / "config.json").write_bytes(image_config(one))
    (folder / "model.safetensors").write_bytes(weights.read_bytes())
    assert identified(f"timm:local-dir:{folder}").fields == one.fields


@pytest.mark.parametrize("pooling", ["token", "avg"])
def test_a_folder_that_timm_saved_is_taken_and_pools_as_it_says(tmp_path: Path, pooling: str) -> None:
    """timm writes into every folder the arguments that its model was made with."""
    torch.manual_seed(3)
    model = timm.create_model(MODEL, pretrained=False, global_pool=pooling).eval()
    timm.models.save_for_hf(model, str(tmp_path), safe_serialization=True)
    one = identified(f"timm:local-dir:{tmp_path}")
    pixels = torch.rand(2, 3, 160, 160)
    model.reset_classifier(0)
    with torch.inference_mode():
        assert np.array_equal(Encoder.load(one, "cpu").encode_images(pixels), model(pixels).numpy())
    (tmp_path / "config.json").write_bytes(image_config(one))
    assert identified(f"timm:local-dir:{tmp_path}").fields == one.fields


def test_timm_is_asked_once_for_a_name(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = identified(f"timm:{MODEL}={weights}", tmp_path)
    monkeypatch.setattr("xmap.stages.encoder.image_models.ask_timm", None)
    assert identified(f"timm:{MODEL}={weights}", tmp_path).fields == first.fields


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("timm:no_such_vit", "timm has no model 'no_such_vit'; near names: "),
        (f"timm:{MODEL}=absent.safetensors", "there is no weight file absent.safetensors"),
        (f"timm:{MODEL}", "cannot get the weights of timm:test_vit (they are not on this machine"),
        ("timm:local-dir:absent", "cannot read absent/config.json"),
        (f"timm:{MODEL}.absent", "timm has no weights 'test_vit.absent' (Invalid pretrained tag"),
        (f"timm:{MODEL}.x:y=absent", "timm has no weights 'test_vit.x:y'"),
        (f"timm:{MODEL}={'x' * 5000}", "there is no weight file xxx"),
        (f"timm:{MODEL}=~nobody-is-called-so/vit", "there is no weight file ~nobody-is-called-so/vit"),
        ("timm:local-dir:~nobody-is-called-so", "cannot read ~nobody-is-called-so/config.json"),
    ],
)
def test_what_is_not_there_is_one_sentence(model: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        identified(model)
    assert said in str(caught.value)


CONFIG = {"architecture": MODEL, "num_features": 64, "pretrained_cfg": {"input_size": [3, 160, 160], "mean": [0.5] * 3, "std": [0.5] * 3}}


@pytest.mark.failure("hostile config")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "hf-hub:somebody/model"}, "'model_cfg.timm' has a value"),
        ({"num_features": 10**9}, "'model_cfg.embed_dim' has a value"),
        ({"model_args": {"img_size": 512}}, "asks for arguments"),
        ({"model_args": {"in_chans": 3, "drop_rate": 0.5}}, "asks for arguments"),
        ({"model_args": {"global_pool": "../code"}}, "'model_cfg.global_pool' has a value"),
        ({"pretrained_cfg": {"input_size": [3, 160, 160], "crop_mode": "border"}}, "a way of cutting that xmap does not know"),
        ({"pretrained_cfg": 3}, "is not a config of timm's"),
        ({"pretrained_cfg": {"input_size": [3]}}, "is not a config of timm's"),
        ({"pretrained_cfg": {"input_size": [3, [160], [160]]}}, "'preprocess_cfg.size.0' has a value"),
    ],
)
def test_a_folder_of_others_may_say_sizes_alone(tmp_path: Path, weights: Path, changes: dict[str, object], said: str) -> None:
    given = {**CONFIG, "pretrained_cfg": {**CONFIG["pretrained_cfg"], "interpolation": "bicubic"}, **changes}  # type: ignore[dict-item]
    (tmp_path / "config.json").write_text(json.dumps(given))
    (tmp_path / "model.safetensors").write_bytes(weights.read_bytes())
    with pytest.raises(InputError) as caught:
        identified(f"timm:local-dir:{tmp_path}")
    assert said in str(caught.value)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    other = write_weights(tmp_path / "other.safetensors", model="test_vit2")
    with pytest.raises(InputError, match=r"cannot load model .* give weights made for timm's test_vit"):
        Encoder.load(identified(f"timm:{MODEL}={other}"), "cpu")


@pytest.mark.failure("hostile config")
def test_a_model_takes_no_memory_that_its_weights_do_not_fill(tmp_path: Path, weights: Path) -> None:
    """The largest model of timm, whose numbers take 11 GB, beside weights of 1 MB."""
    given = {**CONFIG, "architecture": "aimv2_3b_patch14_448", "pretrained_cfg": {**CONFIG["pretrained_cfg"], "interpolation": "bicubic"}}  # type: ignore[dict-item]
    (tmp_path / "config.json").write_text(json.dumps(given))
    (tmp_path / "model.safetensors").write_bytes(weights.read_bytes())
    with pytest.raises(InputError, match=r"describes at least 2,7\d\d,\d{3},\d{3} numbers"):
        Encoder.load(identified(f"timm:local-dir:{tmp_path}"), "cpu")


def test_an_image_has_pixels_of_every_size(weights: Path, tmp_path: Path) -> None:
    """An image is decoded once for all encoders, and each sees its own crop."""
    from xmap.stages.images.decode import RULES
    from xmap.stages.predict.encoders import Encoders
    from xmap.store.formats.arrays import side_by_side

    tiny = Encoder.load(resolve(EncoderConfig(model="xmap-tiny"), Notes(None), None), "cpu", texts=False)
    both = Encoders((tiny, Encoder.load(identified(f"timm:{MODEL}={weights}"), "cpu")))
    Image.fromarray(np.asarray(picture(3))).save(tmp_path / "a.png")

    def seen(encoders: Encoders) -> np.ndarray:
        pixels = encoders.maker(RULES).load(tmp_path / "a.png")
        assert isinstance(pixels, np.ndarray)
        return encoders.encode(pixels)

    alone = [seen(Encoders.of(one)) for one in both.each]
    assert np.array_equal(seen(both), side_by_side(alone))
    assert both.width == sum(found.shape[1] for found in alone)
