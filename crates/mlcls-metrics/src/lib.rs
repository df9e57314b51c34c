//! mlcls-metrics
