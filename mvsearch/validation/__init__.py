"""The verdict on a study: its best candidates and some baselines are trained for real and compared.

    study ── networks ──▶ candidates, baselines      job ──▶ one training a network and seed, in its folder
                    rounds ──▶ who trains next, who stops        executor ──▶ trains it, in processes
                    comparison ──▶ differences with intervals    document ──▶ validation.json, results.csv

A round is one seed of every network that is still compared. All decisions follow from the results in the folder, so any
number of commands may work on it at once, and each of them may be killed.
"""
