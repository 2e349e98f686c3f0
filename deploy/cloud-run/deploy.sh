#!/usr/bin/env bash
# service.yaml as one gcloud command.
#
#   PROJECT=… REGION=… deploy/cloud-run/deploy.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
: "${PROJECT:?the project}" "${REGION:?the region}"
IMAGES="$REGION-docker.pkg.dev/$PROJECT/chat"

# One version of both for this revision; each exists once already:
#   gcloud secrets create readygate-config --data-file=proxy.toml
#   gcloud secrets create readygate-monitoring --data-file=run-monitoring.yaml
gcloud secrets versions add readygate-config --project="$PROJECT" --data-file=proxy.toml
gcloud secrets versions add readygate-monitoring --project="$PROJECT" --data-file=run-monitoring.yaml

gcloud run deploy chat \
    --project="$PROJECT" \
    --region="$REGION" \
    --execution-environment=gen2 \
    --timeout=3600 \
    --concurrency=500 \
    --min-instances=1 \
    --max-instances=20 \
    --no-cpu-throttling \
    --cpu-boost \
    --session-affinity \
    --no-use-http2 \
    --container=readygate \
    --image="$IMAGES/readygate:latest" \
    --port=8080 \
    --cpu=1 \
    --memory=512Mi \
    --set-secrets=REDIS_PASSWORD=redis-password:latest,/etc/readygate/proxy.toml=readygate-config:latest \
    --startup-probe=httpGet.path=/startupz,httpGet.port=9090,periodSeconds=1,timeoutSeconds=1,failureThreshold=30 \
    --liveness-probe=httpGet.path=/livez,httpGet.port=9090,periodSeconds=10,timeoutSeconds=2,failureThreshold=3 \
    --container=app \
    --image="$IMAGES/app:latest" \
    --set-env-vars=PORT=8081 \
    --cpu=1 \
    --memory=1Gi \
    --startup-probe=httpGet.path=/health/live,httpGet.port=8081,periodSeconds=2,timeoutSeconds=2,failureThreshold=100 \
    --container=collector \
    --image=us-docker.pkg.dev/cloud-ops-agents-artifacts/cloud-run-gmp-sidecar/cloud-run-gmp-sidecar:1.2.0 \
    --set-secrets=/etc/rungmp/config.yaml=readygate-monitoring:latest \
    --depends-on=readygate
