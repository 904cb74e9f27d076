import 'graphiql/setup-workers/vite';
import 'graphiql/style.css';
import '@graphiql/plugin-explorer/style.css';
import './playground.css';

import { explorerPlugin } from '@graphiql/plugin-explorer';
import { HISTORY_PLUGIN } from '@graphiql/plugin-history';
import { GraphiQL } from 'graphiql';
import { createRoot } from 'react-dom/client';

import { examples } from './examples';
import { createFetcher } from './fetcher';

const fetcher = createFetcher(window.location);
const plugins = [HISTORY_PLUGIN, explorerPlugin()];

const root = document.getElementById('root');
if (!root) throw new Error('the page has no element with id "root"');

// Headers may hold credentials, so they are never kept in the browser's storage.
// The inputs of V1 are deprecated; without inputValueDeprecation the editor would not know them.
createRoot(root).render(
  <GraphiQL fetcher={fetcher} plugins={plugins} defaultTabs={examples} shouldPersistHeaders={false} inputValueDeprecation>
    <GraphiQL.Logo>
      <span className="coexist-logo">Coexist</span>
    </GraphiQL.Logo>
  </GraphiQL>,
);
