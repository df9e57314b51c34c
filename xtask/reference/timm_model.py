"""A checkpoint's tensors in timm and PyTorch, in float64: what other scripts here compare with."""
import timm
import torch
import torch.nn.functional as F

HALF, IMAGENET = ([0.5] * 3, [0.5] * 3), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def head(x, weights, scale=7.0):
    """Logits of pooled features [n, d], in float64."""
    w = {name[5:]: torch.from_numpy(v).double() for name, v in weights.items() if name.startswith("head.")}
    if "hidden.weight" in w:
        x = F.linear(x, w["hidden.weight"], w["hidden.bias"])
        x = F.batch_norm(x, w["bn.running_mean"], w["bn.running_var"], w["bn.weight"], w["bn.bias"], eps=1e-5)
        x = F.prelu(x, w["act.weight"])
    if "bias" in w:
        return F.linear(x, w["weight"], w["bias"])
    return scale * F.linear(F.normalize(x), F.normalize(w["weight"])).clamp(-1, 1)


def patch_map(tokens):
    """DINOv2's map [n, places, 2 d] of its tokens: at each patch the class token, then its own."""
    patches = tokens[:, 1:]
    return torch.cat([tokens[:, :1].expand_as(patches), patches], dim=2)


def feature_maps(name, weights, pixels):
    """The backbone's last maps [n, c, h, w] of uint8 images [n, h, w, 3]; `name` is timm's."""
    backbone = timm.create_model(name, num_classes=0)
    if name.startswith("mobilenetv3"):  # OTX's head replaces timm's hidden layer
        backbone.conv_head = backbone.norm_head = torch.nn.Identity()
    state = {n: torch.from_numpy(v) for n, v in weights.items() if not n.startswith("head.")}
    missing, unexpected = backbone.load_state_dict(state, strict=False)
    assert not unexpected and all("num_batches_tracked" in n for n in missing), (missing, unexpected)
    backbone = backbone.double().eval()
    mean, std = HALF if name == "tf_efficientnet_lite0" else IMAGENET
    images = torch.from_numpy(pixels).double() / 255
    images = ((images - torch.tensor(mean)) / torch.tensor(std)).permute(0, 3, 1, 2)
    with torch.no_grad():
        if "dinov2" in name:
            backbone.set_input_size(images.shape[2:])
            tokens = backbone.forward_features(images)
            maps = patch_map(tokens)
            side = backbone.patch_embed.grid_size[0]
            return maps.transpose(1, 2).reshape(len(maps), -1, side, side)
        return backbone.forward_features(images)
