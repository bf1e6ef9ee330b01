#!/usr/bin/env bash
# The CamVid rows ("Cityscape" in the paper) of Hossain's Table 3 (CE, WCE, FL, ADFL) and of Table 5 (DFL, ADFL, ACW+CE),
# smaller and shorter than in the paper, so that two cores need some 40 minutes. Each table ends with its comparison with the
# paper.
#
#     bash scripts/bench/hossain_camvid.sh CAMVID OUT [SIZE] [EPOCHS]
#
# ADFL is in both tables: its trials are taken over from the checkpoint store of the first. With a GPU at hand, 224 and 30
# are the settings of the presets. Running it again continues what is not finished.
set -euo pipefail
data=$1 out=$2 size=${3:-96} epochs=${4:-9}
source "$(dirname "${BASH_SOURCE[0]}")/../environment.sh"
for table in hossain_table3 hossain_table5; do
    "$venv/bin/python" -m tune_seg.search "$table" --data "Cityscape=$data" --studies "$out" --epochs "$epochs" \
        --set "data.size=[$size, $size]"
done
