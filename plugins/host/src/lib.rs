//! plugins/host
