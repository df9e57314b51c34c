//! Flags that choose where a checkpoint runs, shared by `eval` and `predict`; a checkpoint runs anywhere.

use mlcls_train::{Device, DeviceName, PrecisionName, Result};

/// Where to compute.
#[derive(clap::Args)]
pub struct On {
    /// Where to compute: `cpu`, `cuda` (an NVIDIA GPU; needs the feature `cuda`), or `cuda:1` for the second GPU.
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceName,
    /// Numbers to compute in: `auto` (bf16 on a GPU, fp32 on a processor), `fp32`, `tf32`, `bf16` or `fp16`.
    #[arg(long, value_name = "NAME", default_value_t)]
    precision: PrecisionName,
}

impl On {
    /// The device, if this program and this machine may have it.
    pub fn device(&self) -> Result<Device> {
        let device = Device::new(self.device, self.precision)?;
        device.check()?;
        Ok(device)
    }
}
