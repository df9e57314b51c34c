//! mlcls-train
