//! mlcls-models
