// Targets of the kernel's own in the configuration: names as their fabric has them, and nobody lets strangers in by
// mistake.
import test from "ava";
import * as v from "valibot";
import { checkFabric, type FabricConfig, iscsiSchema, lioSchema } from "../../../src/sys/config-fabric.js";

const device = [{ name: "disk0" }];
const luns = [{ lun: 0, device: "disk0" }];

function complaints(entry: object, iscsi?: object): readonly string[] {
  const found: string[] = [];
  const config: FabricConfig = {
    lio: [v.parse(lioSchema, { luns, ...entry })],
    target: iscsi === undefined ? [] : [{ name: "iqn.2024-01.org.example:own", luns: [] }],
    zone: [],
    device,
    ...(iscsi === undefined ? {} : { iscsi: v.parse(iscsiSchema, iscsi) }),
  };
  checkFabric(config, (path, message) => found.push(`${path.join(".")}: ${message}`));
  return found;
}

const NAA = "naa.6001405000000001";
const IQN = "iqn.2024-01.org.example:kernel";

test("a target of each fabric, with names of its kind", (t) => {
  t.deepEqual(complaints({ fabric: "loopback", name: NAA, initiator: NAA }), []);
  t.deepEqual(complaints({ fabric: "qla2xxx", name: NAA }), []);
  t.deepEqual(complaints({ fabric: "srpt", name: `${NAA}0123456789ABCDEF` }), []);
  t.deepEqual(complaints({ fabric: "iscsi", name: IQN, portals: ["127.0.0.1:3261"] }), []);
  t.regex(complaints({ fabric: "qla2xxx", name: IQN }).join(), /lio\.0\.name/);
  t.regex(complaints({ fabric: "iscsi", name: NAA, portals: [] }).join(), /lio\.0\.name/);
  t.regex(complaints({ fabric: "srpt", name: NAA }).join(), /32 digits/);
});

test("the one initiator of loopback and vhost is named, nobody else's is", (t) => {
  t.regex(complaints({ fabric: "loopback", name: NAA }).join(), /lio\.0\.initiator/);
  t.regex(complaints({ fabric: "qla2xxx", name: NAA, initiator: NAA }).join(), /lio\.0\.initiator/);
  t.regex(complaints({ fabric: "vhost", name: NAA, initiator: IQN }).join(), /lio\.0\.initiator/);
});

test("LIO's iSCSI, which believes every name, listens on loopback alone unless that was allowed for all", (t) => {
  const entry = { fabric: "iscsi", name: IQN, portals: ["10.0.0.5:3261"] };
  t.regex(complaints(entry).join(), /reached from elsewhere/);
  t.regex(complaints(entry, { authentication: "chap" }).join(), /reached from elsewhere/);
  t.deepEqual(complaints(entry, { authentication: "none-anywhere" }), []);
  t.regex(complaints({ fabric: "iscsi", name: IQN }).join(), /lio\.0\.portals/);
  t.regex(complaints({ fabric: "qla2xxx", name: NAA, portals: [] }).join(), /lio\.0\.portals/);
});
