"""Images per second of two ONNX files in onnxruntime and OpenVINO, in turns: prints a JSON list, empty without either."""
import json
import statistics
import sys
import time

import_errors = (ImportError, OSError)


def onnxruntime_runner(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    kind = "uint8" if "uint8" in image.type else "float32"
    return onnxruntime.__version__, kind, image.shape[1:], lambda x: session.run(None, {image.name: x})


def openvino_runner(path):
    import openvino

    # Else OpenVINO rounds a float32 file to bfloat16 where the processor has AMX.
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    image = compiled.input(0)
    kind = "uint8" if "uint8" in str(image.element_type) else "float32"
    shape = [d.get_length() for d in image.partial_shape[1:]]
    return openvino.__version__.split("-")[0], kind, shape, lambda x: compiled(x)


def rate(run, x, seconds):
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        run(x)
        count += len(x)
    return count / (time.perf_counter() - start)


def main(files):
    results = []
    for name, make in [("onnxruntime", onnxruntime_runner), ("OpenVINO", openvino_runner)]:
        try:
            runners = [make(file) for file in files]
        except import_errors:
            continue
        import numpy

        for batch in (1, 16):
            version, kind, shape, _ = runners[0]
            x = numpy.random.default_rng(0).integers(0, 256, [batch, *shape]).astype(kind)
            for *_, run in runners:  # warm up
                rate(run, x, 0.3)
            rounds = [[rate(run, x, 0.5) for *_, run in runners] for _ in range(5)]
            float_, int8 = (statistics.median(column) for column in zip(*rounds))
            results.append(dict(runtime=name, version=version, batch=batch, float=float_, int8=int8))
    print(json.dumps(results))


main(sys.argv[1:])
