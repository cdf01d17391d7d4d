import { EventEmitter, once } from "node:events";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/health/v1/health_pb.js";

/** Reports to load balancers and the like whether the service takes calls. */
export interface ServiceHealth {
  /** NOT_SERVING until it is called. Watchers receive every change. */
  setServing(serving: boolean): void;
  /** Registers `grpc.health.v1.Health`. */
  routes(router: ConnectRouter): void;
}

/** Returns the health of the server as a whole, the empty name, and of each of the services, which is always the same. */
export function newHealth(serviceNames: readonly string[]): ServiceHealth {
  const known = new Set(["", ...serviceNames]);
  const changes = new EventEmitter<{ change: [] }>();
  // One listener per watching client, without any limit.
  changes.setMaxListeners(0);
  let status = Status.NOT_SERVING;
  const statusOf = (service: string) => (known.has(service) ? status : Status.SERVICE_UNKNOWN);

  return {
    setServing(serving) {
      status = serving ? Status.SERVING : Status.NOT_SERVING;
      changes.emit("change");
    },
    routes(router) {
      router.service(
        Health,
        {
          check({ service }) {
            if (!known.has(service)) throw new ConnectError(`there is no service ${service}`, Code.NotFound);
            return { status };
          },
          list: () => ({ statuses: Object.fromEntries([...known].map((name) => [name, { status }])) }),
          async *watch({ service }, { signal }) {
            for (let told: Status | undefined; ; ) {
              const now = statusOf(service);
              if (now !== told) yield { status: now };
              told = now;
              if (signal.aborted) break;
              // Rejects when the call is over. The last change, such as the stop of the service, is sent before that.
              if (statusOf(service) === told)
                await once(changes, "change", { signal }).catch(() => undefined);
            }
            throw new ConnectError(
              "the watch has ended",
              Code.Unavailable,
              undefined,
              undefined,
              signal.reason,
            );
          },
        },
        // Must answer in every state of the service, so the interceptors of other calls do not apply.
        { interceptors: [] },
      );
    },
  };
}
