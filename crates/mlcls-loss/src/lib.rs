//! mlcls-loss
