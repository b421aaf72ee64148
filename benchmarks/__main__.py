"""Every benchmark, one table each, and the count of wrong words: `python -m benchmarks`."""

from benchmarks import (
    chaotic_lstm,
    derivatives,
    explorer,
    fixed_points,
    language_model,
    orthogonal_rnn,
    peers,
    side_by_side,
    steady_states,
    training,
    watching,
)

if __name__ == "__main__":
    print("Ratios of a peer's time to ours, measured in this run. The first minutes compile.")
    chaotic_lstm.main()
    derivatives.main()
    orthogonal_rnn.main()
    training.main()
    language_model.main()
    explorer.main()
    fixed_points.main()
    watching.main()
    peers.main()
    side_by_side.main()
    steady_states.main()
