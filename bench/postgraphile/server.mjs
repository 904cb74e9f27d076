// Serves the tables of the database POSTGRES_URL with PostGraphile, without the features that a benchmark does not ask
// for. It prints where it listens.
import { createServer } from "node:http";
import { postgraphile } from "postgraphile";
import { grafserv } from "postgraphile/grafserv/node";
import { makePgService } from "postgraphile/adaptors/pg";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";

const pgl = postgraphile({
	extends: [PostGraphileAmberPreset],
	pgServices: [makePgService({ connectionString: process.env.POSTGRES_URL, schemas: ["public"] })],
	grafserv: { graphiql: false, watch: false },
	grafast: { explain: false },
});
const server = createServer();
await pgl.createServ(grafserv).addTo(server);
server.listen(0, "127.0.0.1", () => console.log(`url=http://127.0.0.1:${server.address().port}`));
