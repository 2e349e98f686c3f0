# cloud-run/service.yaml as Terraform; the reasons for its values are there.

terraform {
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0"
    }
  }
}

variable "project" {
  type = string
}

variable "region" {
  type = string
}

variable "readygate_image" {
  type        = string
  description = "built by deploy/Dockerfile"
}

variable "app_image" {
  type = string
}

variable "redis_password_secret" {
  type        = string
  default     = "redis-password"
  description = "exists already: a password does not belong into Terraform's state"
}

resource "google_service_account" "chat" {
  project    = var.project
  account_id = "chat-run"
}

# Neither file holds a secret (passwords come in by environment); Secret Manager is how Cloud Run mounts a file.
resource "google_secret_manager_secret" "file" {
  for_each  = local.files
  project   = var.project
  secret_id = each.key

  replication {
    auto {}
  }
}

resource "google_secret_manager_secret_version" "file" {
  for_each    = local.files
  secret      = google_secret_manager_secret.file[each.key].id
  secret_data = file("${path.module}/../cloud-run/${each.value}")
}

resource "google_secret_manager_secret_iam_member" "chat" {
  for_each  = toset(concat(keys(local.files), [var.redis_password_secret]))
  project   = var.project
  secret_id = each.key
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.chat.member

  depends_on = [google_secret_manager_secret.file]
}

# What the collector writes with.
resource "google_project_iam_member" "metrics" {
  project = var.project
  role    = "roles/monitoring.metricWriter"
  member  = google_service_account.chat.member
}

locals {
  files = {
    readygate-config     = "proxy.toml"
    readygate-monitoring = "run-monitoring.yaml"
  }
}

resource "google_cloud_run_v2_service" "chat" {
  project  = var.project
  location = var.region
  name     = "chat"

  template {
    service_account                  = google_service_account.chat.email
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    timeout                          = "3600s"
    max_instance_request_concurrency = 500
    session_affinity                 = true

    scaling {
      min_instance_count = 1
      max_instance_count = 20
    }

    containers {
      name  = "readygate"
      image = var.readygate_image

      ports {
        name           = "http1"
        container_port = 8080
      }

      resources {
        limits = {
          cpu    = "1"
          memory = "512Mi"
        }
        cpu_idle          = false
        startup_cpu_boost = true
      }

      env {
        name = "REDIS_PASSWORD"
        value_source {
          secret_key_ref {
            secret  = var.redis_password_secret
            version = "latest"
          }
        }
      }

      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = 30
        http_get {
          path = "/startupz"
          port = 9090
        }
      }

      liveness_probe {
        period_seconds    = 10
        timeout_seconds   = 2
        failure_threshold = 3
        http_get {
          path = "/livez"
          port = 9090
        }
      }

      volume_mounts {
        name       = "config"
        mount_path = "/etc/readygate"
      }
    }

    containers {
      name  = "app"
      image = var.app_image

      resources {
        limits = {
          cpu    = "1"
          memory = "1Gi"
        }
        cpu_idle = false
      }

      env {
        name  = "PORT"
        value = "8081"
      }

      startup_probe {
        period_seconds    = 2
        timeout_seconds   = 2
        failure_threshold = 100
        http_get {
          path = "/health/live"
          port = 8081
        }
      }
    }

    containers {
      name       = "collector"
      image      = "us-docker.pkg.dev/cloud-ops-agents-artifacts/cloud-run-gmp-sidecar/cloud-run-gmp-sidecar:1.2.0"
      depends_on = ["readygate"]

      volume_mounts {
        name       = "monitoring"
        mount_path = "/etc/rungmp"
      }
    }

    volumes {
      name = "config"
      secret {
        secret = google_secret_manager_secret.file["readygate-config"].secret_id
        items {
          version = google_secret_manager_secret_version.file["readygate-config"].version
          path    = "proxy.toml"
        }
      }
    }

    volumes {
      name = "monitoring"
      secret {
        secret = google_secret_manager_secret.file["readygate-monitoring"].secret_id
        items {
          version = google_secret_manager_secret_version.file["readygate-monitoring"].version
          path    = "config.yaml"
        }
      }
    }
  }

  depends_on = [google_secret_manager_secret_iam_member.chat]
}

output "url" {
  value = google_cloud_run_v2_service.chat.uri
}
